import type { StateMachine } from '../machine/state-machine.ts';
import { badOption } from './check-options.ts';

const claimed = new WeakSet<StateMachine>();

/**
 * Keeps a machine from being given to two nodes, or to one twice: its state would be that of both, and the entries of
 * the log that no snapshot holds would be applied on top of what is there already.
 *
 * @throws CordwoodError `BAD_OPTION`
 */
export function claimMachine(machine: StateMachine): void {
  if (claimed.has(machine)) {
    throw badOption(
      'machine',
      'holds the state of another node, or of an earlier start: make a new one for each start',
    );
  }
  claimed.add(machine);
}

/** Of a start that failed before the machine was given anything. */
export function releaseMachine(machine: StateMachine): void {
  claimed.delete(machine);
}
