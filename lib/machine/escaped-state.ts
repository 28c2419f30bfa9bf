import { isWellFormed } from '../../protocol/msgpack.ts';

/*
 * How what msgpack has no form for is written in a state nevertheless. In texts, and keys, NUL and four hexadecimal
 * digits stand for half of a surrogate pair, and for NUL itself. So no text holds NUL and a letter: that is −0, or
 * undefined.
 */

const TO_ESCAPE = /\p{Surrogate}|\0/gu;
const ESCAPE = /\0([0-9a-f]{4})/g;
const MINUS_ZERO = '\0z';
const UNDEFINED = '\0u';

/** Whether `value` itself would come back as something else. */
export function isWithoutForm(value: unknown): boolean {
  if (typeof value === 'string') return !isWellFormed(value);
  return value === undefined || (value === 0 && Object.is(value, -0));
}

/** Whether something that `object` itself holds would, keys among them; what that holds is looked at when its turn comes. */
export function holdsWithoutForm(object: object): boolean {
  if (Array.isArray(object)) return object.some(isWithoutForm);
  for (const key of Object.keys(object)) {
    if (isWithoutForm(key) || isWithoutForm((object as Record<string, unknown>)[key])) return true;
  }
  return false;
}

/** A copy of `value` in which everything has a form in msgpack. */
export function escapeState(value: unknown): unknown {
  if (typeof value === 'string') return escapeText(value);
  if (value === undefined) return UNDEFINED;
  if (Object.is(value, -0)) return MINUS_ZERO;
  return copyWith(value, escapeText, escapeState);
}

/** What `escapeState` was given. */
export function unescapeState(value: unknown): unknown {
  if (value === UNDEFINED) return undefined;
  if (value === MINUS_ZERO) return -0;
  if (typeof value === 'string') return unescapeText(value);
  return copyWith(value, unescapeText, unescapeState);
}

function escapeText(text: string): string {
  return text.replaceAll(TO_ESCAPE, (unit) => `\0${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function unescapeText(text: string): string {
  return text.replaceAll(ESCAPE, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** A copy of an array or a plain map; anything else as it is. */
function copyWith(value: unknown, key: (text: string) => string, item: (value: unknown) => unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(item);
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (prototype !== Object.prototype && prototype !== null) return value;
  const entries = Object.entries(value).map(([name, content]) => [key(name), item(content)]);
  // Unlike an assignment, this makes a property of a key `__proto__`.
  const copy = Object.fromEntries(entries) as object;
  return prototype === null ? Object.setPrototypeOf(copy, null) : copy;
}
