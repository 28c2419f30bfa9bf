/**
 * Throws a `RangeError` for what JSON text can say and no value keeps: stored, it would come back as something else.
 * The value comes from `JSON.parse`.
 */
export function checkJsonValue(root: unknown): void {
  // With a stack of its own: how deep a value may nest is checked where it is encoded.
  const rest: unknown[] = [root];
  while (rest.length > 0) {
    const value = rest.pop();
    if (typeof value === 'string') checkText(value);
    else if (typeof value === 'number') {
      if (!Number.isFinite(value)) throw new RangeError('a number in it is too large');
    } else if (Array.isArray(value)) for (const item of value) rest.push(item);
    else if (typeof value === 'object' && value !== null) {
      for (const [key, item] of Object.entries(value)) {
        checkText(key);
        rest.push(item);
      }
    }
  }
}

/** The halves of a pair of surrogates, where they stand alone, are no characters: UTF-8 has no form for them. */
const LONE_SURROGATE = /\p{Surrogate}/u;

function checkText(text: string): void {
  if (LONE_SURROGATE.test(text)) throw new RangeError('a string in it has half a surrogate pair');
}
