import { ByteWriter, readU32, readU64 } from '../../protocol/byte-writer.ts';
import { Lane } from '../../protocol/constants.ts';
import { encodeAppendHeader } from '../../protocol/peer-codec.ts';
import { recordBytes } from '../../protocol/record.ts';
import type { Append, Index, NodeId } from '../core/types.ts';
import type { LogSlice, LogStore } from '../log/log-store.ts';
import type { Transport } from '../transport/transport.ts';
import type { EntryCache } from './entry-cache.ts';

const READ_BYTES = 16 << 20;

/** The log has the entry at `index`, and it cannot be read. */
export type Unreadable = (index: Index, error: Error) => void;

/**
 * Appends on their way to one follower, in the order the core decided on. Their records usually are in memory; a
 * follower that is far behind gets them from disk, and what comes later waits its turn.
 */
export class AppendOutbox {
  readonly #peer: NodeId;
  readonly #cache: EntryCache;
  readonly #log: LogStore;
  readonly #transport: Transport;
  readonly #unreadable: Unreadable;
  #queue: Append[] = [];
  readonly #header = new ByteWriter(64);
  #reading = false;
  #generation = 0;

  constructor(peer: NodeId, cache: EntryCache, log: LogStore, transport: Transport, unreadable: Unreadable) {
    this.#peer = peer;
    this.#cache = cache;
    this.#log = log;
    this.#transport = transport;
    this.#unreadable = unreadable;
  }

  push(message: Append): void {
    if (this.#reading || this.#queue.length > 0 || !this.#trySend(message)) {
      this.#queue.push(message);
      this.#pump();
    }
  }

  /** The term or the connection these belong to is over. */
  clear(): void {
    this.#queue = [];
    this.#generation++;
  }

  #trySend(message: Append): boolean {
    if (message.last > message.prevIndex && this.#cache.first > message.prevIndex + 1) return false;
    // The tail may have been replaced meanwhile by a leader of a later term; then nobody wants this any more.
    if (message.last > this.#cache.last) return true;
    this.#write(message, this.#cache.views(message.prevIndex + 1, message.last));
    return true;
  }

  #write(message: Append, records: Uint8Array[]): void {
    let bytes = 0;
    for (const part of records) bytes += part.length;
    const header = this.#header;
    header.clear();
    encodeAppendHeader(message, bytes, message.last - message.prevIndex, header);
    this.#transport.send(this.#peer, Lane.data, [header.buffer.subarray(0, header.position), ...records]);
  }

  #pump(): void {
    while (!this.#reading && this.#queue.length > 0) {
      const message = this.#queue[0]!;
      if (this.#trySend(message)) this.#queue.shift();
      else this.#read(message);
    }
  }

  #read(message: Append): void {
    this.#reading = true;
    const generation = this.#generation;
    // What memory still holds may not be on disk yet: its write may be asked for later than this read.
    const last = Math.min(message.last, this.#cache.first - 1);
    this.#log.read(message.prevIndex + 1, last, READ_BYTES).then(
      (slice) => {
        this.#reading = false;
        if (generation === this.#generation && slice.first === message.prevIndex + 1) {
          this.#write({ ...message, last: slice.last }, [slice.bytes]);
          this.#transport.flush();
          if (slice.last < message.last) this.#queue[0] = behind(message, slice);
          else this.#queue.shift();
        }
        this.#pump();
      },
      (error: unknown) => {
        this.#reading = false;
        if (generation === this.#generation) this.#failed(message, error as Error);
        this.#pump();
      },
    );
  }

  /** What is missing of the message the follower will find out by what comes next, and the core starts over. */
  #failed(message: Append, error: Error): void {
    const first = message.prevIndex + 1;
    const isCompacted = error instanceof RangeError;
    // Which of them it is the error does not say: one that is read alone is the one.
    if (!isCompacted && message.last > first) {
      this.#queue[0] = { ...message, last: first };
      return;
    }
    this.#queue.shift();
    if (!isCompacted) this.#unreadable(first, error);
  }
}

/** What `slice` leaves of `message`. */
function behind(message: Append, { bytes, last }: LogSlice): Append {
  let prevTerm = 0;
  for (let at = 0; at < bytes.length; at += recordBytes(readU32(bytes, at)))
    prevTerm = readU64(bytes, at + 16);
  return { ...message, prevIndex: last, prevTerm };
}
