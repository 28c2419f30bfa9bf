import {
  checkReadFrame,
  checkWriteFrame,
  encodeErrorResponse,
  frameRequestId,
  isWriteKind,
} from '../../protocol/client-codec.ts';
import { Kind, Status } from '../../protocol/constants.ts';
import { CordwoodError, errorCodeOfStatus } from '../../protocol/errors.ts';
import { FrameSplitter, nextFrameEnd } from '../../protocol/frame-splitter.ts';
import type { Sink } from './sink.ts';
import type { Requests } from './types.ts';

/**
 * Writes handed on at once, a little more at most: what is handed on becomes one batch, and goes to peers in one frame,
 * however much a client sends in one piece.
 */
const MAX_RUN_BYTES = 1 << 20;

const READS: ReadonlySet<number> = new Set([Kind.query, Kind.ping, Kind.status, Kind.admin]);

/**
 * Takes the bytes of one client as they arrive, cuts frames out of them in place and hands runs of writes and single
 * queries on. What it hands on has valid headers; a frame with wrong fields is answered here, and the rest goes on.
 *
 * @example
 * socket.on('data', (chunk) => intake.feed(chunk));
 */
export class Intake {
  readonly #requests: Requests;
  readonly #sink: Sink;
  readonly #splitter: FrameSplitter;
  /** Something was answered here and must be flushed here. */
  #answered: boolean = false;

  constructor(requests: Requests, sink: Sink) {
    this.#requests = requests;
    this.#sink = sink;
    this.#splitter = new FrameSplitter(requests.maxFrameBytes);
  }

  /** Bytes held of a frame that has not arrived whole. */
  get pendingBytes(): number {
    return this.#splitter.pendingBytes;
  }

  /**
   * `chunk` is free again when this returns.
   *
   * @throws CordwoodError `TOO_LARGE`, `PROTOCOL_ERROR`: the stream cannot be understood any further; the connection
   *   must be closed.
   */
  feed(chunk: Uint8Array): void {
    try {
      this.#splitter.pushRuns(chunk, this.#consume);
    } finally {
      this.#flushAnswers();
    }
  }

  #flushAnswers(): void {
    if (!this.#answered) return;
    this.#answered = false;
    this.#sink.flush();
  }

  readonly #consume = (bytes: Uint8Array, start: number, end: number): number => {
    const max = this.#splitter.maxFrameBytes;
    let runStart = start;
    let at = start;
    for (;;) {
      const next = nextFrameEnd(bytes, at, end, max);
      if (next === -1) break;
      const kind = bytes[at + 4]!;
      let status: Status = Status.ok;
      if (isWriteKind(kind)) {
        status = checkWriteFrame(bytes, at, next);
        if (status === Status.ok) {
          at = next;
          if (at - runStart >= MAX_RUN_BYTES) {
            this.#requests.submit(bytes, runStart, at, this.#sink);
            runStart = at;
          }
          continue;
        }
      }
      if (at > runStart) this.#requests.submit(bytes, runStart, at, this.#sink);
      if (status === Status.ok) status = this.#read(bytes, at, next, kind);
      if (status !== Status.ok) this.#refuse(bytes, at, status);
      at = runStart = next;
    }
    if (at > runStart) this.#requests.submit(bytes, runStart, at, this.#sink);
    return at;
  };

  #read(bytes: Uint8Array, start: number, end: number, kind: number): Status {
    if (!READS.has(kind)) {
      throw new CordwoodError('PROTOCOL_ERROR', `frame of unknown kind 0x${kind.toString(16)}`);
    }
    const status = checkReadFrame(bytes, start, end);
    if (status === Status.ok) this.#requests.query(bytes, start, end, this.#sink);
    return status;
  }

  #refuse(bytes: Uint8Array, start: number, status: Status): void {
    const code = errorCodeOfStatus(status) ?? 'MALFORMED';
    encodeErrorResponse(
      this.#sink.out,
      frameRequestId(bytes, start),
      status,
      code,
      'the frame’s header is wrong',
    );
    this.#answered = true;
  }
}
