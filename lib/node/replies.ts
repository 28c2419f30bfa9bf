import { encodeErrorResponse, frameRequestId } from '../../protocol/client-codec.ts';
import type { Status } from '../../protocol/constants.ts';
import { errorCodeOfStatus } from '../../protocol/errors.ts';
import { readU32 } from '../../protocol/byte-writer.ts';
import type { Sink } from './sink.ts';

/** The sinks that were written to in this turn: each is flushed once, at its end. */
export class Replies {
  readonly #touched = new Set<Sink>();

  touch(sink: Sink): void {
    this.#touched.add(sink);
  }

  forget(sink: Sink): void {
    this.#touched.delete(sink);
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
    this.#touched.add(sink);
  }

  flush(): void {
    if (this.#touched.size === 0) return;
    for (const sink of this.#touched) sink.flush();
    this.#touched.clear();
  }
}
