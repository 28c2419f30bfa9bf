import { CordwoodError } from '../../protocol/errors.ts';
import { MAX_TIMER_MS } from './check-options.ts';
import type { Driver } from './driver.ts';

/** Lets code that takes its time wait for something in the node to change. */
export class Turns {
  readonly #driver: Driver;

  constructor(driver: Driver) {
    this.#driver = driver;
  }

  now(): number {
    return this.#driver.now;
  }

  wake(): void {
    this.#driver.wake();
  }

  /**
   * Resolves when `done` holds, which is asked after every turn of the node. What `done` throws rejects.
   *
   * @throws CordwoodError `TIMEOUT` with the message `late`, `ABORTED`, `SHUTTING_DOWN`
   */
  until(
    done: () => boolean,
    limits: { readonly deadlineMs: number; readonly signal?: AbortSignal | undefined },
    late: string,
  ): Promise<void> {
    const driver = this.#driver;
    return new Promise((resolve, reject) => {
      let cancelTimer: () => void = () => undefined;
      const finish = (error?: Error): void => {
        driver.afterTurn.delete(check);
        limits.signal?.removeEventListener('abort', check);
        cancelTimer();
        if (error === undefined) resolve();
        else reject(error);
      };
      const check = (): void => {
        try {
          if (done()) finish();
          else if (limits.signal?.aborted === true) {
            finish(new CordwoodError('ABORTED', 'the call was aborted', { cause: limits.signal.reason }));
          } else if (driver.stopped) finish(new CordwoodError('SHUTTING_DOWN', 'the node is stopping'));
          else if (driver.now >= limits.deadlineMs) finish(new CordwoodError('TIMEOUT', late));
        } catch (error) {
          finish(error as Error);
        }
      };
      const arm = (): void => {
        const leftMs = Math.min(Math.max(limits.deadlineMs - driver.now, 1), MAX_TIMER_MS);
        cancelTimer = driver.options.runtime.timer(leftMs, () => {
          check();
          if (driver.afterTurn.has(check)) arm();
        });
      };
      // First, for it throws if that is no signal, and a turn in which a watcher throws is the node's last.
      limits.signal?.addEventListener('abort', check);
      driver.afterTurn.add(check);
      arm();
      check();
    });
  }
}
