import { setTimeout as delay } from 'node:timers/promises';

const INTERVAL_MS = 20;

/** Looks until there is something, and throws `complaint` if that takes longer than `timeoutMs`. */
export async function until<T>(
  look: () => T | undefined | Promise<T | undefined>,
  timeoutMs: number,
  complaint: string,
  intervalMs: number = INTERVAL_MS,
): Promise<T> {
  const deadlineMs = performance.now() + timeoutMs;
  while (performance.now() < deadlineMs) {
    const found = await look();
    if (found !== undefined) return found;
    await delay(intervalMs);
  }
  throw new Error(complaint);
}
