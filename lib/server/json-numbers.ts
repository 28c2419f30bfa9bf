/**
 * Throws a `RangeError` for numbers that JSON text can say and no value keeps: `1e999` is parsed as infinity, which would
 * come back as null. The value comes from `JSON.parse`.
 */
export function checkJsonNumbers(root: unknown): void {
  // With a stack of its own: how deep a value may nest is checked where it is encoded.
  const rest: unknown[] = [root];
  while (rest.length > 0) {
    const value = rest.pop();
    if (typeof value === 'number') {
      if (!Number.isFinite(value)) throw new RangeError('a number in it is too large');
    } else if (typeof value === 'object' && value !== null)
      for (const item of Object.values(value)) rest.push(item);
  }
}
