import { encodeErrorResponse, frameRequestId } from '../../protocol/client-codec.ts';
import type { Status } from '../../protocol/constants.ts';
import { errorCodeOfStatus } from '../../protocol/errors.ts';
import { readU32 } from '../../protocol/byte-writer.ts';
import type { Sink } from './sink.ts';

/** The sinks that were written to in this turn: each is flushed once, at its end. */
export class Replies {
  /** Mostly there is one. */
  #first: Sink | null = null;
  readonly #others = new Set<Sink>();

  touch(sink: Sink): void {
    if (this.#first === null) this.#first = sink;
    else if (this.#first !== sink) this.#others.add(sink);
  }

  forget(sink: Sink): void {
    if (this.#first === sink) this.#first = null;
    this.#others.delete(sink);
  }

  /** Answers every frame of a run alike. */
  refuseRun(
    bytes: Uint8Array,
    start: number,
    end: number,
    sink: Sink,
    status: Status,
    message: string,
  ): void {
    const code = errorCodeOfStatus(status) ?? 'OUTCOME_UNKNOWN';
    for (let at = start; at < end; at += readU32(bytes, at) + 4) {
      encodeErrorResponse(sink.out, frameRequestId(bytes, at), status, code, message);
    }
    this.touch(sink);
  }

  flush(): void {
    const first = this.#first;
    this.#first = null;
    first?.flush();
    if (this.#others.size === 0) return;
    for (const sink of this.#others) sink.flush();
    this.#others.clear();
  }
}
