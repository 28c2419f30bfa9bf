import type { ServerResponse } from 'node:http';
import { CordwoodError } from '../../protocol/errors.ts';

/** Bodies up to this never wait: commands are small, and a few large uploads must not keep them out. */
const SMALL_BYTES = 64 << 10;

interface Waiter {
  readonly bytes: number;
  readonly proceed: () => void;
}

/**
 * Room for the bodies of HTTP requests, all together. A request with a large body takes its room before the body is
 * read, so that no number of clients can make a node hold more; it waits its turn, first come, first served.
 */
export class BodyBudget {
  readonly #maxBytes: number;
  readonly #waiting = new Set<Waiter>();
  #held = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes taken. */
  get held(): number {
    return this.#held;
  }

  /**
   * Resolves when there is room for `bytes`, which is given back when the reply is done with. Rejects with `BUSY` if
   * there is none in time, `CONNECTION_LOST` if the client has gone.
   */
  async take(bytes: number, outgoing: ServerResponse, patienceMs: number): Promise<void> {
    if (bytes <= SMALL_BYTES) return;
    const size = Math.min(bytes, this.#maxBytes);
    if (this.#waiting.size > 0 || this.#held + size > this.#maxBytes)
      await this.#wait(size, outgoing, patienceMs);
    else this.#held += size;
    const giveBack = (): void => {
      this.#held -= size;
      this.#letIn();
    };
    if (outgoing.destroyed || outgoing.closed) giveBack();
    else outgoing.once('close', giveBack);
  }

  /** Resolves with the room taken. */
  #wait(bytes: number, outgoing: ServerResponse, patienceMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer);
        outgoing.off('close', gone);
        this.#waiting.delete(waiter);
      };
      const gone = (): void => {
        leave();
        reject(new CordwoodError('CONNECTION_LOST', 'the client went away'));
        this.#letIn();
      };
      const waiter: Waiter = {
        bytes,
        proceed: () => {
          leave();
          this.#held += bytes;
          resolve();
        },
      };
      const timer = setTimeout(() => {
        leave();
        reject(new CordwoodError('BUSY', 'too many large requests are under way'));
        this.#letIn();
      }, patienceMs);
      outgoing.once('close', gone);
      this.#waiting.add(waiter);
    });
  }

  #letIn(): void {
    for (const waiter of this.#waiting) {
      if (this.#held + waiter.bytes > this.#maxBytes) return;
      waiter.proceed();
    }
  }
}
