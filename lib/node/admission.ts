import { Status } from '../../protocol/constants.ts';
import type { Driver } from './driver.ts';
import type { Sink } from './sink.ts';
import { isolated } from './tell.ts';

/** What clients of a node are told that may not serve, for a while or for good; they ask another. */
export const IN_QUARANTINE = 'this node is in quarantine and does not serve';

/**
 * Where clients' writes go: into the pipeline of a leader, to the leader from elsewhere, or back with a refusal that
 * says that they were not applied. Counts what is under way, and tells readers of sockets when there is room again.
 */
export class Admission {
  readonly #driver: Driver;
  #roomWaiters: (() => void)[] = [];

  constructor(driver: Driver) {
    this.#driver = driver;
  }

  /** Commands taken in that are not committed, or not on this node's disk, in bytes. */
  get uncommittedBytes(): number {
    const { pipeline, forwarder, reads } = this.#driver;
    return pipeline.bytes + forwarder.bytes + reads.bytes;
  }

  /** Too much is under way: read no more requests until `onRoom` calls. */
  get saturated(): boolean {
    return this.uncommittedBytes > this.#driver.options.maxUncommittedBytes;
  }

  /** Somebody waits for room: what this node's disk has taken must be told. */
  get awaited(): boolean {
    return this.#roomWaiters.length > 0;
  }

  /** Calls once when there is room, which may be at once. */
  onRoom(callback: () => void): void {
    if (!this.saturated) {
      callback();
      return;
    }
    this.#roomWaiters.push(callback);
    // The end of a turn says what must be told for there to be room.
    this.#driver.wake();
  }

  /** Takes a run of write frames where this node leads, or passes it on. */
  submit(bytes: Uint8Array, start: number, end: number, sink: Sink): void {
    const driver = this.#driver;
    const { core } = driver;
    if (driver.stopped) this.#refuse(bytes, start, end, sink, Status.shuttingDown, 'the node is stopping');
    else if (core.quarantined) this.#refuse(bytes, start, end, sink, Status.noLeader, IN_QUARANTINE);
    else if (core.role === 'leader') this.#lead(bytes, start, end, sink);
    else if (core.leader !== 0) driver.forwarder.forward(core.leader, bytes, start, end, sink, driver.now);
    else this.#refuse(bytes, start, end, sink, Status.noLeader, 'no leader is known');
    driver.wake();
  }

  /** At the end of a turn: whoever waits for room is called if there is some. */
  turn(): void {
    if (this.#roomWaiters.length > 0 && !this.saturated) this.releaseWaiters();
  }

  /** Calls everyone who waits for room: there is some, or there will be no more turns. */
  releaseWaiters(): void {
    for (const waiter of this.#roomWaiters.splice(0)) isolated(waiter);
  }

  #lead(bytes: Uint8Array, start: number, end: number, sink: Sink): void {
    const { space, pipeline } = this.#driver;
    const refusal = space.refusal;
    if (refusal === null) pipeline.batcher.add(bytes, start, end, sink);
    else this.#refuse(bytes, start, end, sink, Status.diskFull, refusal);
  }

  #refuse(bytes: Uint8Array, start: number, end: number, sink: Sink, status: Status, message: string): void {
    this.#driver.replies.refuseRun(bytes, start, end, sink, status, message);
  }
}
