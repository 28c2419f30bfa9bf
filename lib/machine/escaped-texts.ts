/*
 * Texts of a state that UTF-8 has no form for, because half of a surrogate pair stands alone in them, and how they are
 * written nevertheless: NUL and four hexadecimal digits stand for that half, and for NUL itself.
 */

const TO_ESCAPE = /\p{Surrogate}|\0/gu;
const ESCAPE = /\0([0-9a-f]{4})/g;

/** A copy of `value` in which all strings, and keys, have a form in UTF-8. */
export function escapeTexts(value: unknown): unknown {
  return mapTexts(value, (text) =>
    text.replaceAll(TO_ESCAPE, (unit) => `\0${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
}

/** What `escapeTexts` was given. */
export function unescapeTexts(value: unknown): unknown {
  return mapTexts(value, (text) =>
    text.replaceAll(ESCAPE, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
  );
}

/** A copy of the arrays and maps in `value`; anything else is passed on, for the encoder to refuse. */
function mapTexts(value: unknown, map: (text: string) => string): unknown {
  if (typeof value === 'string') return map(value);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, map));
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (prototype !== Object.prototype && prototype !== null) return value;
  const entries = Object.entries(value).map(([key, item]) => [map(key), mapTexts(item, map)]);
  // Unlike an assignment, this makes a property of a key `__proto__`.
  const copy = Object.fromEntries(entries) as object;
  return prototype === null ? Object.setPrototypeOf(copy, null) : copy;
}
