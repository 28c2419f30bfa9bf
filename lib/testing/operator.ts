import { CordwoodError } from '../../protocol/errors.ts';
import type { Random } from '../core/random.ts';
import type { Config, NodeId } from '../core/types.ts';
import type { MembershipTarget } from '../node/membership-plan.ts';
import { memberOf } from './sim-addresses.ts';
import type { SimNode } from './sim-node.ts';
import type { Simulation } from './simulation.ts';
import { pick } from './story.ts';

/** More machines than that are not bought in one story. */
const MAX_NODES = 8;

/** Someone who runs the cluster: changes its members, replaces lost ones, moves leadership, looks after the room. */
export class Operator {
  readonly #simulation: Simulation;
  /** Voters below which no change goes. */
  readonly #leastVoters: number;
  /** Changes that were carried out. */
  changes = 0;

  constructor(simulation: Simulation, leastVoters: number) {
    this.#simulation = simulation;
    this.#leastVoters = leastVoters;
  }

  /** Asks the leader for some change of the members, and does not wait for it. */
  reconfigure(dice: Random): void {
    const simulation = this.#simulation;
    const leader = simulation.leader;
    if (leader === undefined) return;
    const target = this.#target(leader.core.config, dice);
    if (target === null) return;
    const { voters, learners = [] } = target;
    simulation.trace(`${leader.id} is to make voters ${voters.join(' ')}, learners ${learners.join(' ')}`);
    leader.run(() => {
      const done = leader.raft?.reconfigure(target, { timeoutMs: dice.between(500, 4000) });
      done?.then(
        () => {
          this.changes++;
          simulation.trace(`${leader.id} has changed the members`);
        },
        (error: unknown) => {
          if (!CordwoodError.is(error)) simulation.fail(error as Error);
          else simulation.trace(`${leader.id} has not changed the members: ${error.message}`);
        },
      );
    });
  }

  transfer(dice: Random): void {
    const { leader, nodes } = this.#simulation;
    if (leader === undefined) return;
    const target = pick(dice, [0, pick(dice, nodes).id]);
    this.#simulation.trace(`transfer from ${leader.id} to ${target}`);
    leader.run(() => leader.raft?.transferLeadership(target));
  }

  #target(config: Config, dice: Random): MembershipTarget | null {
    const voters = [...config.voters];
    const learners = [...config.learners];
    if (voters.length === 0) return null;
    const members = config.members.map(({ id, peerAddress }) => ({ id, peerAddress }));
    const lost = [...voters, ...learners].find((id) => this.#simulation.node(id)?.lost);
    const kind = dice.next();
    const newcomer = kind < 0.45 || lost !== undefined ? this.#newcomer(config, dice) : null;
    if (newcomer !== null) {
      members.push(memberOf(newcomer.id));
      if (kind < 0.15) learners.push(newcomer.id);
      else voters.push(newcomer.id);
    }
    if (lost !== undefined) drop(voters, learners, lost);
    else if (kind > 0.3 && kind < 0.7) drop(voters, learners, pick(dice, [...voters, ...learners]));
    else if (kind < 0.8 && learners.length > 0) {
      const id = pick(dice, learners);
      drop(voters, learners, id);
      voters.push(id);
    } else if (kind > 0.8 && voters.length > 1) {
      const id = pick(dice, voters);
      drop(voters, learners, id);
      learners.push(id);
    }
    if (voters.length < this.#leastVoters) return null;
    return { voters, learners, members };
  }

  /** A machine that waits to be added already, or a new one. */
  #newcomer(config: Config, dice: Random): SimNode | null {
    const simulation = this.#simulation;
    const waiting = simulation.nodes.find(
      (n) => n.joins && n.raft?.core.config.members.length === 0 && !n.lost && !isKnown(config, n.id),
    );
    if (waiting !== undefined && dice.next() < 0.9) return waiting;
    if (simulation.nodes.length >= MAX_NODES) return null;
    const node = simulation.add();
    simulation.trace(`${node.id} waits to be added`);
    return node;
  }
}

function drop(voters: NodeId[], learners: NodeId[], id: NodeId): void {
  for (const list of [voters, learners]) if (list.includes(id)) list.splice(list.indexOf(id), 1);
}

function isKnown(config: Config, id: NodeId): boolean {
  return config.members.some((m) => m.id === id) || config.retired?.includes(id) === true;
}
