import { Kind, WRITE_HEADER_BYTES } from '../../protocol/constants.ts';
import type { StateMachine } from './state-machine.ts';

/** Few enough that what a machine fetches for them is still in the processor's caches when they are applied. */
const GROUP = 32;

/**
 * Tells a machine which commands of a batch come next, some at a time. Says nothing about whether the batch is sound:
 * whoever applies it finds that out, frame by frame.
 */
export class Lookahead {
  readonly #machine: StateMachine;
  readonly #starts = new Int32Array(GROUP);

  constructor(machine: StateMachine) {
    this.#machine = machine;
  }

  /**
   * Looks at the frames in `bytes[at, end)`, which `view` shows too. Returns where those end that the machine has been
   * told of; `Infinity` if there is no use in telling it of more.
   */
  look(bytes: Uint8Array, view: DataView, at: number, end: number): number {
    const machine = this.#machine;
    if (machine.lookAhead === undefined) return Infinity;
    const starts = this.#starts;
    let count = 0;
    while (count < GROUP && end - at >= WRITE_HEADER_BYTES) {
      if (bytes[at + 4] === Kind.command) starts[count++] = at + WRITE_HEADER_BYTES;
      at += 4 + view.getUint32(at, true);
    }
    try {
      return count > 0 && machine.lookAhead(bytes, starts, count) ? at : Infinity;
    } catch {
      // It changes nothing, so nothing is lost: the commands are applied all the same.
      return Infinity;
    }
  }
}
