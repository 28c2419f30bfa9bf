import { copyBytes, readU32 } from './byte-writer.ts';
import { FRAME_HEADER_BYTES } from './constants.ts';
import { CordwoodError } from './errors.ts';

/**
 * End of the frame that begins at `at`, or -1 if it is not whole in `bytes[at, end)`. The length is judged as soon
 * as its four bytes are there, so a caller that stops at an error never buffers for a frame it would refuse.
 *
 * @throws CordwoodError `TOO_LARGE` for a frame above `maxFrameBytes` (its length field included),
 *   `PROTOCOL_ERROR` for one too short to have a header.
 *
 * @example
 * let at = start;
 * for (let next; (next = nextFrameEnd(bytes, at, end, max)) !== -1; at = next) handle(bytes, at, next);
 */
export function nextFrameEnd(bytes: Uint8Array, at: number, end: number, maxFrameBytes: number): number {
  if (end - at < 4) return -1;
  const frameBytes = readU32(bytes, at) + 4;
  if (frameBytes > maxFrameBytes || frameBytes < FRAME_HEADER_BYTES)
    throw badLength(frameBytes, maxFrameBytes);
  return at + frameBytes <= end ? at + frameBytes : -1;
}

/**
 * Takes as many whole frames of `bytes[start, end)` as it likes to see at once and returns where the first frame
 * begins that is not whole (`end` if none). The bytes are valid only during the call.
 */
export type ConsumeRun = (bytes: Uint8Array, start: number, end: number) => number;

/** Bytes kept for reuse between frames that span chunks. */
const KEPT_BUFFER_BYTES = 64 << 10;
const KEPT_TRUSTED_BYTES = 4 << 20;
const FIRST_BUFFER_BYTES = 512;

export interface SplitterOptions {
  /**
   * Makes room for a whole frame as soon as its length is known, and keeps that room. Only for senders that have
   * introduced themselves as members of the cluster: it saves copying large frames again and again.
   */
  readonly trusted?: boolean;
}

/**
 * Cuts length-prefixed frames out of a stream that arrives in chunks. Frames that are whole in a chunk are seen in
 * place, never copied; only the frame at the seam of two chunks is put together in a buffer, which grows with what
 * has arrived (at most twice that), never to what a length field announces (unless the sender is `trusted`).
 *
 * An instance belongs to one connection. After an error it must not be used again.
 *
 * @example
 * const splitter = new FrameSplitter(Limits.maxFrameBytes);
 * socket.on('data', (chunk) => splitter.push(chunk, (bytes, start, end) => handle(bytes, start, end)));
 */
export class FrameSplitter {
  readonly maxFrameBytes: number;
  readonly #trusted: boolean;
  readonly #keptBytes: number;
  #pending: Buffer | null = null;
  #pendingBytes = 0;

  /** `maxFrameBytes` counts whole frames, length field included. */
  constructor(maxFrameBytes: number, options: SplitterOptions = {}) {
    this.maxFrameBytes = maxFrameBytes;
    this.#trusted = options.trusted ?? false;
    this.#keptBytes = this.#trusted ? KEPT_TRUSTED_BYTES : KEPT_BUFFER_BYTES;
  }

  /** Bytes held of a frame that is not whole yet. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Calls `onFrame` for each frame that is whole now. */
  push(chunk: Uint8Array, onFrame: (bytes: Uint8Array, start: number, end: number) => void): void {
    const max = this.maxFrameBytes;
    this.pushRuns(chunk, (bytes, start, end) => {
      let at = start;
      for (
        let next = nextFrameEnd(bytes, at, end, max);
        next !== -1;
        next = nextFrameEnd(bytes, at, end, max)
      ) {
        onFrame(bytes, at, next);
        at = next;
      }
      return at;
    });
  }

  /**
   * Gives `consume` the longest stretches there are: a frame completed by the beginning of `chunk`, if one was
   * pending, then all the rest of `chunk`. What `consume` leaves is kept for the next call. `consume` finds the
   * frames with `nextFrameEnd` and so can treat whole runs of them alike without a call for each.
   */
  pushRuns(chunk: Uint8Array, consume: ConsumeRun): void {
    const end = chunk.length;
    let at = 0;
    if (this.#pendingBytes > 0) {
      at = this.#complete(chunk, consume);
      if (at === -1) return;
    }
    if (at < end) at = consume(chunk, at, end);
    if (at < end) {
      // Refuses a bad length even if `consume` did not look at the rest.
      if (nextFrameEnd(chunk, at, end, this.maxFrameBytes) !== -1) {
        throw new CordwoodError('PROTOCOL_ERROR', 'a whole frame was left unread');
      }
      this.#keep(chunk, at, end);
    }
  }

  /** Feeds the pending frame from `chunk`; returns the position behind it, or -1 if it still is not whole. */
  #complete(chunk: Uint8Array, consume: ConsumeRun): number {
    let at = 0;
    if (this.#pendingBytes < 4) {
      at = Math.min(4 - this.#pendingBytes, chunk.length);
      this.#keep(chunk, 0, at);
      if (this.#pendingBytes < 4) return -1;
      nextFrameEnd(this.#pending!, 0, 4, this.maxFrameBytes);
    }
    const frameBytes = readU32(this.#pending!, 0) + 4;
    const next = Math.min(at + frameBytes - this.#pendingBytes, chunk.length);
    this.#keep(chunk, at, next);
    if (this.#pendingBytes < frameBytes) return -1;

    const buffer = this.#pending!;
    // `consume` may push again only after this call; forgetting first keeps the splitter sound if it throws.
    this.#pendingBytes = 0;
    if (buffer.length > this.#keptBytes) this.#pending = null;
    consume(buffer, 0, frameBytes);
    return next;
  }

  #keep(chunk: Uint8Array, start: number, end: number): void {
    const needed = this.#pendingBytes + end - start;
    let buffer = this.#pending;
    if (buffer === null || buffer.length < needed) {
      let size = Math.max(FIRST_BUFFER_BYTES, needed, 2 * this.#pendingBytes);
      // The length has been judged already, by whoever found that the frame is not whole.
      if (this.#trusted && this.#pendingBytes === 0 && needed >= 4) {
        size = Math.max(size, roundUp(readU32(chunk, start) + 4));
      }
      const grown = Buffer.allocUnsafeSlow(size);
      if (buffer !== null) copyBytes(buffer, 0, this.#pendingBytes, grown, 0);
      this.#pending = buffer = grown;
    }
    copyBytes(chunk, start, end, buffer, this.#pendingBytes);
    this.#pendingBytes = needed;
  }
}

/** The next power of two: frames of about the same size share one buffer. */
function roundUp(bytes: number): number {
  return 2 ** Math.ceil(Math.log2(bytes));
}

function badLength(frameBytes: number, maxFrameBytes: number): CordwoodError {
  return frameBytes > maxFrameBytes
    ? new CordwoodError('TOO_LARGE', `frame of ${frameBytes} bytes; the limit is ${maxFrameBytes}`)
    : new CordwoodError('PROTOCOL_ERROR', `frame of ${frameBytes} bytes is too short for a header`);
}
