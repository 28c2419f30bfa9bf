import { Lane } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import type { NodeId } from '../core/types.ts';
import type { TransportEvents } from '../transport/transport.ts';
import type { Admin } from './admin.ts';
import type { Driver } from './driver.ts';
import type { LeaderWatch } from './leader-watch.ts';
import { takePeerFrame } from './peer-inbox.ts';
import type { PeerRegistry } from './peer-registry.ts';

/** What follows from what happens to the connections with the other members. */
export class PeerLanes implements Omit<TransportEvents, 'onRejected'> {
  readonly #driver: Driver;
  readonly #admin: Admin;
  readonly #leaderWatch: LeaderWatch;
  readonly #registry: PeerRegistry;
  readonly #failed: (error: Error) => void;

  constructor(
    driver: Driver,
    admin: Admin,
    leaderWatch: LeaderWatch,
    registry: PeerRegistry,
    failed: (error: Error) => void,
  ) {
    this.#driver = driver;
    this.#admin = admin;
    this.#leaderWatch = leaderWatch;
    this.#registry = registry;
    this.#failed = failed;
  }

  onFrame(peer: NodeId, lane: Lane, bytes: Uint8Array, start: number, end: number): void {
    if (this.#driver.stopped) return;
    this.#driver.silence.heard(peer, lane);
    try {
      takePeerFrame(this.#driver, this.#admin, peer, bytes, start, end);
    } catch (error) {
      if (CordwoodError.is(error)) throw error;
      // What contradicts what is known for sure must end the node in order, and not the process around it.
      this.#failed(error as Error);
    }
  }

  onUp(peer: NodeId, lane: Lane): void {
    const driver = this.#driver;
    if (lane === Lane.control) {
      driver.connected.add(peer);
      // What was told before did not get there, and without news it would not be told again for long.
      driver.reports.send();
      // After a restart of the whole cluster the first to be up have long stopped asking when the others come.
      driver.core.campaignSoon();
      driver.core.peerReached(peer);
    }
    if (lane === Lane.bulk) driver.snapshots.laneUp(peer);
    // What was sent before is lost for sure: no need to wait for the next heartbeat's answer to find out. And it may be
    // another process with older files, whose other lane from before has not been found broken yet.
    if (lane !== Lane.bulk && driver.core.role === 'leader') driver.core.peerLost(peer);
    // The handshake may have told where the leader's clients connect.
    this.#leaderWatch.follow();
    driver.wake();
  }

  onDown(peer: NodeId, lane: Lane): void {
    const driver = this.#driver;
    driver.wake();
    if (lane === Lane.control) {
      driver.connected.delete(peer);
      driver.core.askingLost(peer);
    }
    if (lane !== Lane.data) return;
    driver.outbound.lost(peer);
    driver.core.peerLost(peer);
    driver.forwarder.lost(peer);
    this.#admin.relay.lost(peer);
  }

  onRefused(peer: NodeId): void {
    this.#driver.wake();
    this.#driver.core.leaderRefused(peer);
  }

  onTurnedAway(peer: NodeId, code: string, message: string): void {
    this.#registry.turnedAway(peer, code, message);
    this.#driver.wake();
  }
}
