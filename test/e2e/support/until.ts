/** How long anything on a busy machine may take before a test gives up on it. */
export const PATIENCE_MS = 30_000;
const PAUSE_MS = 10;

/**
 * Asks again and again until the answer is neither undefined, null nor false, and returns it.
 *
 * @param what said in the error when it never is
 */
export async function until<T>(
  what: string,
  ask: () => T | undefined | null | false | Promise<T | undefined | null | false>,
  patienceMs: number = PATIENCE_MS,
): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== null && answer !== false) return answer;
    if (performance.now() > deadline) throw new Error(`waited ${patienceMs} ms in vain for: ${what}`);
    await pause(PAUSE_MS);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
