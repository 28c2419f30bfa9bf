/** @throws TypeError at once, for whoever gave it: when it is called it would be found in the middle of something else. */
export function checkListener<T>(listener: T): T {
  if (typeof listener !== 'function')
    throw new TypeError(`a listener must be a function, not ${typeof listener}`);
  return listener;
}

/** Runs what somebody else has written. What it throws disturbs nobody here: it is reported as uncaught. */
export function isolated(call: () => void): void {
  try {
    call();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/** Calls each listener. One that throws disturbs neither the others nor whoever has something to tell. */
export function tell<Event>(listeners: ReadonlySet<(event: Event) => void>, event: Event): void {
  // A copy: a listener that puts another in its place would be called with that for ever.
  for (const listener of [...listeners]) {
    if (!listeners.has(listener)) continue;
    isolated(() => {
      listener(event);
    });
  }
}
