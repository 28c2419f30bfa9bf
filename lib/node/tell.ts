/**
 * Calls each listener. One that throws disturbs neither the others nor whoever has something to tell: its error is
 * reported as uncaught.
 */
export function tell<Event>(listeners: ReadonlySet<(event: Event) => void>, event: Event): void {
  // A copy: a listener that puts another in its place would be called with that for ever.
  for (const listener of [...listeners]) {
    if (!listeners.has(listener)) continue;
    try {
      listener(event);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
