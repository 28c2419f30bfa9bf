/** How long anything on a busy machine may take before a test gives up on it. */
export const PATIENCE_MS = 30_000;
const PAUSE_MS = 5;

/**
 * Asks again and again until the answer is neither undefined, null nor false, and returns it.
 *
 * @param what said in the error when it never is; a function says how things stand by then
 */
export async function until<T>(
  what: string | (() => string),
  ask: () => T | undefined | null | false | Promise<T | undefined | null | false>,
  patienceMs: number = PATIENCE_MS,
): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== null && answer !== false) return answer;
    if (performance.now() > deadline) {
      const text = typeof what === 'string' ? what : what();
      throw new Error(`waited ${patienceMs} ms in vain for: ${text}`);
    }
    await pause(PAUSE_MS);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
