import { Limits } from '../../protocol/constants.ts';
import type { Runtime } from '../node/runtime.ts';
import type { Call } from './call.ts';
import { HIGH_WATER_BYTES } from './channel.ts';
import type { Connection } from './connection.ts';
import { Lane } from './lane.ts';
import type { ClientSettings } from './options.ts';
import type { Session } from './session.ts';

/** In the last moments of its time a refused command is not sent again. */
const LAST_TRY_MS = 40;
/**
 * So many bytes leave at once, in the middle of a turn: a cluster that waits for the last of ten thousand requests
 * stands still while they are made, and its client while it works on them.
 */
const EAGER_BYTES: number = 192 << 10;

/** Whom the sender asks when it is about to send. */
export interface SendHost {
  /** Where requests go; null: nowhere now. */
  readonly connection: Connection | null;
  /** The session for commands; null: none yet. */
  session(): Session | null;
  /** A frame that names the session leaves. */
  onSessionUsed(nowMs: number): void;
}

/**
 * Decides when waiting calls leave: all that were made in a turn of the event loop together, those of each lane in
 * order, no more than fits on the wire, and after a refusal not before it makes sense.
 */
export class Sender {
  /** Sessions are opened and kept here, ahead of the commands that wait for one. */
  readonly control: Lane = new Lane({ urgent: true });
  readonly writes: Lane = new Lane({ needsLeader: true });
  readonly reads: Lane = new Lane({ needsLeader: true });
  /** Answered without a leader, as long as there was one lately. */
  readonly boundedReads: Lane = new Lane();
  /** Reads and questions that any node answers for itself. */
  readonly localReads: Lane = new Lane();
  /** Changes of the cluster itself. They are few, and one may take minutes: none waits for the answer to another. */
  readonly changes: Lane = new Lane({ needsLeader: true, probes: false });
  /** Where commands were sent last. */
  #commandsOn: Connection | null = null;
  readonly #lanes: readonly Lane[] = [
    this.writes,
    this.reads,
    this.boundedReads,
    this.localReads,
    this.changes,
  ];
  #firstLane = 0;

  /** Calls on the wire, and the bytes of their frames. */
  inFlight = 0;
  inFlightBytes = 0;

  /** Largest window the node takes. */
  maxWindow: number = Limits.maxSessionWindow;

  readonly #settings: ClientSettings;
  readonly #runtime: Runtime;
  readonly #host: SendHost;
  #now: number;
  #flushScheduled = false;
  /** Queued since the last flush. */
  #freshBytes = 0;
  #wakeAt = Infinity;
  #cancelWake: (() => void) | null = null;
  #closed = false;
  readonly #flushNow = (): void => {
    this.flush();
  };

  constructor(settings: ClientSettings, runtime: Runtime, host: SendHost) {
    this.#settings = settings;
    this.#runtime = runtime;
    this.#host = host;
    this.#now = runtime.now();
  }

  /** The clock as it was lately in this turn; with `exact` as it is now. */
  turnNow(exact: boolean): number {
    if (exact || !this.#flushScheduled) this.#now = this.#runtime.now();
    return this.#now;
  }

  /**
   * Sends soon: a lone request at the end of the current callback, otherwise with everything that the events of this
   * turn bring, since a write costs more than a hundred requests in it. `bytes`: what has just been queued.
   */
  flushSoon(bytes = 0): void {
    this.#freshBytes += bytes;
    if (this.#closed) return;
    if (this.#flushScheduled) {
      if (this.#freshBytes < EAGER_BYTES) return;
      this.flush();
      // The one that is scheduled still comes.
      this.#flushScheduled = true;
      return;
    }
    this.#flushScheduled = true;
    this.#now = this.#runtime.now();
    if (this.inFlight === 0) queueMicrotask(this.#flushNow);
    else this.#runtime.defer(this.#flushNow);
  }

  /** Every lane, for going through what waits. */
  get lanes(): readonly Lane[] {
    return [this.control, ...this.#lanes];
  }

  /** A call is not on the wire any more. */
  offWire(call: Call): void {
    this.inFlight--;
    this.inFlightBytes -= call.bytes;
    if (call.lane.probe === call) call.lane.probe = null;
  }

  /** Something has changed that makes refusals unlikely: what waits is sent at once. */
  clearHolds(): void {
    this.control.clearHold();
    for (const lane of this.#lanes) lane.clearHold();
  }

  close(): void {
    this.#closed = true;
    this.#cancelWake?.();
  }

  flush(): void {
    this.#flushScheduled = false;
    this.#freshBytes = 0;
    const { connection } = this.#host;
    if (this.#closed || connection === null || connection.bufferedBytes > HIGH_WATER_BYTES) return;
    this.#now = this.#runtime.now();
    const lanes = this.#lanes;
    let complete = this.#sendLane(this.control, connection);
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[(this.#firstLane + i) % lanes.length]!;
      complete = this.#sendLane(lane, connection) && complete;
    }
    // With more to send than fits, no kind of call may keep the others from being sent.
    if (!complete) this.#firstLane = (this.#firstLane + 1) % lanes.length;
    connection.flush();
  }

  /** Sends what may be sent of a lane; false if something is left for want of room. */
  #sendLane(lane: Lane, connection: Connection): boolean {
    const { maxOutstanding, maxOutstandingBytes } = this.#settings;
    if (lane === this.writes) {
      if (this.#wouldOvertake(connection)) return true;
      this.#commandsOn = connection;
    }
    for (let call = lane.head; call !== null; call = lane.head) {
      if (lane.holdUntil > this.#now) {
        this.#wake(lane.holdUntil);
        return true;
      }
      if (lane.probing && ((lane.probes && lane.probe !== null) || this.#isTooLate(call))) return true;
      const bytes = this.inFlightBytes + call.bytes;
      const full = this.inFlight >= maxOutstanding || (bytes > maxOutstandingBytes && this.inFlight > 0);
      if (full && !lane.urgent) return false;
      if (call.wantsSession && call.session === null && !this.#giveNumber(call)) return true;
      lane.remove(call);
      if (lane.probing) lane.probe = call;
      // Commands with a key and requests of admin name none: they would keep nothing but the keep-alive away.
      if (call.session !== null) this.#host.onSessionUsed(this.#now);
      this.inFlight++;
      this.inFlightBytes = bytes;
      connection.send(call);
    }
    return true;
  }

  /**
   * Whether commands sent now could run before those made earlier: these are still on their way to the leader through
   * a follower, and the way to the leader itself is shorter. They have their answers, or are back in the lane, within
   * a round trip or `stallMs`.
   */
  #wouldOvertake(connection: Connection): boolean {
    const before = this.#commandsOn;
    return before !== null && before !== connection && before.requests.commands > 0 && !before.abandoned;
  }

  /**
   * Whether a call that was refused had better end with that refusal: were it sent once more and its time ended before
   * the answer came, nobody could say whether it had run.
   */
  #isTooLate(call: Call): boolean {
    return call.refusal !== null && call.isWrite && call.deadline - this.#now < LAST_TRY_MS;
  }

  /** Numbers a command in the open session; false if there is none, or no number free. */
  #giveNumber(call: Call): boolean {
    const session = this.#host.session();
    if (session === null || session.full(this.maxWindow)) return false;
    call.session = session;
    call.seq = session.take();
    return true;
  }

  #wake(at: number): void {
    if (at >= this.#wakeAt) return;
    this.#cancelWake?.();
    this.#wakeAt = at;
    this.#cancelWake = this.#runtime.timer(Math.max(1, Math.ceil(at - this.#now)), () => {
      this.#wakeAt = Infinity;
      this.#cancelWake = null;
      this.flush();
    });
  }
}
