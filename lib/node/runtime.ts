// Imported because the global is a getter, which is called each time.
import { performance } from 'node:perf_hooks';

/** Time and turns, so that the same node runs on the machine's clock and on a simulated one. */
export interface Runtime {
  /** Monotonic milliseconds, with fractions. */
  now(): number;
  /** Wall clock, milliseconds since 1970; may be set while the node runs. */
  wallNow(): number;
  /** Runs `callback` after the I/O that is ready now has been read. */
  defer(callback: () => void): void;
  /** Runs `callback` once after `delayMs`; the returned function cancels it. */
  timer(delayMs: number, callback: () => void): () => void;
  /** An unsigned 32-bit random number. */
  random(): number;
}

/** The machine's own clock and event loop. */
export const systemRuntime: Runtime = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  defer: (callback) => {
    setImmediate(callback);
  },
  timer: (delayMs, callback) => {
    const handle = setTimeout(callback, delayMs);
    return () => {
      clearTimeout(handle);
    };
  },
  random: () => Math.floor(Math.random() * 4294967296),
};
