import { encodeValue } from '../../protocol/msgpack.ts';

/**
 * Encodes what `JSON.parse` returned, for a value that is stored.
 *
 * @throws RangeError for what JSON text can say and no value keeps, or what `encodeValue` refuses
 */
export function encodeJson(value: unknown): Uint8Array {
  checkNumbers(value);
  return encodeValue(value);
}

/** `1e999` is parsed as infinity, which would come back as null. */
function checkNumbers(root: unknown): void {
  // With a stack of its own: how deep a value may nest is checked where it is encoded.
  const rest: unknown[] = [root];
  while (rest.length > 0) {
    const value = rest.pop();
    if (typeof value === 'number') {
      if (!Number.isFinite(value)) throw new RangeError('a number in it is too large');
    } else if (typeof value === 'object' && value !== null) {
      for (const item of Object.values(value)) rest.push(item);
    }
  }
}
