import type { Call } from './call.ts';

/** One signal and the calls that end with it. */
export class SignalWatch {
  readonly signal: AbortSignal;
  head: Call | null = null;
  readonly #watches: AbortSignals;

  constructor(signal: AbortSignal, watches: AbortSignals) {
    this.signal = signal;
    this.#watches = watches;
  }

  handleEvent(): void {
    this.#watches.fired(this);
  }
}

/**
 * Calls by abort signal. However many calls share a signal, it has one listener of this client, and none once they
 * are settled: signals may live as long as the process.
 */
export class AbortSignals {
  readonly #watches = new Map<AbortSignal, SignalWatch>();
  readonly #onAborted: (call: Call, reason: unknown) => void;

  constructor(onAborted: (call: Call, reason: unknown) => void) {
    this.#onAborted = onAborted;
  }

  get size(): number {
    return this.#watches.size;
  }

  add(call: Call, signal: AbortSignal): void {
    let watch = this.#watches.get(signal);
    if (watch === undefined) {
      watch = new SignalWatch(signal, this);
      this.#watches.set(signal, watch);
      signal.addEventListener('abort', watch);
    }
    call.watch = watch;
    call.watchNext = watch.head;
    if (watch.head !== null) watch.head.watchPrevious = call;
    watch.head = call;
  }

  remove(call: Call): void {
    const watch = call.watch;
    if (watch === null) return;
    if (call.watchPrevious === null) watch.head = call.watchNext;
    else call.watchPrevious.watchNext = call.watchNext;
    if (call.watchNext !== null) call.watchNext.watchPrevious = call.watchPrevious;
    call.watch = call.watchPrevious = call.watchNext = null;
    if (watch.head === null) {
      this.#watches.delete(watch.signal);
      watch.signal.removeEventListener('abort', watch);
    }
  }

  /** Called by the watch of a signal that was aborted. */
  fired(watch: SignalWatch): void {
    while (watch.head !== null) this.#onAborted(watch.head, watch.signal.reason);
  }
}
