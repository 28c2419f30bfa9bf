import { ByteWriter } from '../../protocol/byte-writer.ts';
import { encodeLeader, encodeWelcome } from '../../protocol/client-codec.ts';
import { Limits, PROTOCOL_VERSION } from '../../protocol/constants.ts';
import { Intake } from '../node/intake.ts';
import type { Sink } from '../node/sink.ts';
import type { Requests } from '../node/types.ts';
import { type Channel, type ChannelEvents, HIGH_WATER_BYTES } from './channel.ts';

const KEPT_BUFFER_BYTES = 1 << 20;

/** A node in the same process: what a connection's bytes are there, without the connection. */
export class LocalChannel implements Channel {
  readonly #requests: Requests;
  readonly #sink: Sink;
  readonly #intake: Intake;
  #events: ChannelEvents | null = null;
  #stopListening: (() => void) | null = null;
  /** Written and not yet taken by the node, because it is saturated. */
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #waitsForRoom = false;
  #deliveryScheduled = false;
  #aboveHighWater = false;
  #paused = false;

  constructor(requests: Requests) {
    this.#requests = requests;
    this.#sink = {
      out: new ByteWriter(),
      flush: () => {
        this.#deliverSoon();
      },
    };
    this.#intake = new Intake(requests, this.#sink);
  }

  open(events: ChannelEvents): void {
    const { clusterId, id, leader, maxFrameBytes } = this.#requests;
    const { out } = this.#sink;
    this.#events = events;
    encodeWelcome(out, {
      version: PROTOCOL_VERSION,
      clusterId,
      nodeId: id,
      leader,
      maxFrameBytes,
      maxWindow: Limits.maxSessionWindow,
    });
    this.#stopListening = this.#requests.onLeader((leaderNow) => {
      encodeLeader(out, leaderNow);
      this.#deliverSoon();
    });
    events.onOpen();
    this.#deliverSoon();
  }

  write(bytes: Uint8Array): void {
    if (this.#events === null) return;
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
  }

  flush(): void {
    if (this.#events === null) return;
    try {
      for (const [i, bytes] of this.#waiting.entries()) {
        if (this.#requests.saturated) {
          this.#waiting.splice(0, i);
          this.#flushWhenRoom();
          return;
        }
        this.#waitingBytes -= bytes.length;
        this.#intake.feed(bytes);
      }
    } catch (error) {
      this.#end(error as Error);
      return;
    }
    this.#waiting = [];
    if (!this.#aboveHighWater) return;
    this.#aboveHighWater = false;
    this.#events.onDrain();
  }

  get bufferedBytes(): number {
    return this.#waitingBytes;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    if (this.#sink.out.position > 0) this.#deliverSoon();
  }

  close(): void {
    if (this.#events === null) return;
    this.#events = null;
    this.#stopListening?.();
    this.#requests.detach(this.#sink);
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  #flushWhenRoom(): void {
    this.#aboveHighWater ||= this.#waitingBytes > HIGH_WATER_BYTES;
    if (this.#waitsForRoom) return;
    this.#waitsForRoom = true;
    this.#requests.onRoom(() => {
      this.#waitsForRoom = false;
      this.flush();
    });
  }

  /** Not at once: the node is in the middle of its turn, and code of the client must not run inside it. */
  #deliverSoon(): void {
    if (this.#deliveryScheduled || this.#paused) return;
    this.#deliveryScheduled = true;
    queueMicrotask(() => {
      this.#deliveryScheduled = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    const { out } = this.#sink;
    // More may be written while a part is read.
    for (let start = 0, end = out.position; start < end; start = end, end = out.position) {
      if (this.#events === null) break;
      this.#events.onData(out.buffer.subarray(start, end));
    }
    if (out.buffer.length > KEPT_BUFFER_BYTES) out.leave(KEPT_BUFFER_BYTES);
    else out.clear();
  }

  #end(error: Error): void {
    const events = this.#events;
    this.close();
    queueMicrotask(() => events?.onClose(error));
  }
}
