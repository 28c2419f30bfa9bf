/**
 * Takes the steps one after the other, each whatever became of those before: what ends should end as a whole. The first
 * begins before this returns.
 *
 * @throws the first error, at the end
 */
export async function everyStep(steps: readonly (() => Promise<void> | void)[]): Promise<void> {
  const errors: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}
