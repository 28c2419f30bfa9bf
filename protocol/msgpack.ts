import { Encoder, ExtData, ExtensionCodec } from '@msgpack/msgpack';

import { type ByteWriter, copyOf } from './byte-writer.ts';
import { Limits } from './constants.ts';
import { CordwoodError } from './errors.ts';
import { decodeValue } from './msgpack-decode.ts';

export { decodeValue };

/*
 * Two uses of msgpack: values of users, which must come back exactly as they went in, and small maps of fields in
 * handshakes and status. Encoders and decoders are reused, which is several times faster than the library's
 * functions; nothing awaits between entering and leaving one.
 */

/** Above this the encoder's buffer is given back instead of kept for ever after one large value. */
const KEPT_ENCODER_BYTES = 1 << 20;

/** Thrown and caught in here: a value holds a bigint and must take the slow way. */
const hasBigint = new Error('a bigint needs the slow way');

/** Refuses what msgpack would silently turn into something else (a Map into `{}`, a Float64Array into its bytes). */
class StrictCodec extends ExtensionCodec {
  override tryToEncode(object: unknown, context: undefined): ExtData | null {
    if (typeof object === 'bigint') throw hasBigint;
    if (typeof object === 'object' && object !== null) {
      assertEncodable(object);
      assertTexts(object);
    } else if (typeof object !== 'object') throw new TypeError(`a ${typeof object} is not a msgpack value`);
    return super.tryToEncode(object, context);
  }
}

const codec: ExtensionCodec = new StrictCodec();
let encoder = new Encoder({ extensionCodec: codec, maxDepth: Limits.maxValueDepth });
// With this setting the library writes a bigint as a 64-bit integer, but an integer number above 2^32 as a float.
// The library counts a scalar as a level, too: `widen` is the one that counts here.
const bigintEncoder = new Encoder({ useBigInt64: true, maxDepth: Limits.maxValueDepth + 1 });

/**
 * Appends a value in its canonical encoding (PROTOCOL.md, "Values"): every integer in its shortest form, `bigint`
 * and `number` alike, other numbers as 64-bit floats. `undefined` becomes nil.
 *
 * @throws TypeError for what has no encoding (functions, symbols, Map, Set, typed arrays other than Uint8Array),
 *   RangeError for a bigint outside −2^63 … 2^64 − 1, half a surrogate pair or nesting deeper than
 *   `Limits.maxValueDepth`.
 */
export function writeValue(out: ByteWriter, value: unknown): void {
  if (!writeSimple(out, value)) out.bytes(encodeShared(value));
}

/** As `writeValue`; the caller owns the bytes. */
export function encodeValue(value: unknown): Uint8Array {
  return copyOf(encodeShared(value));
}

/** The map in exactly `bytes[start, end)`, at most `MAX_FIELDS_BYTES` of it; `what` opens the error's message. */
export function decodeFields(bytes: Uint8Array, start: number, end: number, what: string): Fields {
  if (end - start > MAX_FIELDS_BYTES) throw new CordwoodError('TOO_LARGE', `${what}: ${end - start} bytes`);
  let value: unknown;
  try {
    value = decodeValue(bytes, start, end);
  } catch (cause) {
    throw new CordwoodError('PROTOCOL_ERROR', `${what}: ${(cause as Error).message}`, { cause });
  }
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) {
    throw new CordwoodError('PROTOCOL_ERROR', `${what}: not a map`);
  }
  return new Fields(value as Record<string, unknown>, what);
}

/** Largest map of fields anyone sends: a status of a large cluster stays far below. */
const MAX_FIELDS_BYTES: number = 1 << 20;

/** Typed access to a decoded map. Unknown fields are ignored, unless `only` is asked: a newer peer may send more. */
export class Fields {
  readonly #map: Readonly<Record<string, unknown>>;
  readonly #what: string;

  constructor(map: Readonly<Record<string, unknown>>, what: string) {
    this.#map = map;
    this.#what = what;
  }

  has(name: string): boolean {
    return this.get(name) !== undefined && this.get(name) !== null;
  }

  get(name: string): unknown {
    return Object.hasOwn(this.#map, name) ? this.#map[name] : undefined;
  }

  /** A non-negative safe integer. */
  integer(name: string, max: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.get(name);
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > max)
      throw this.#bad(name);
    return value;
  }

  /** True or false; false if absent. */
  flag(name: string): boolean {
    const value = this.get(name) ?? false;
    if (typeof value !== 'boolean') throw this.#bad(name);
    return value;
  }

  /** Refuses fields that are not `known`: for requests in which one that is passed over would do harm. */
  only(known: readonly string[]): void {
    const other = Object.keys(this.#map).find((name) => !known.includes(name));
    if (other === undefined) return;
    throw new CordwoodError(
      'PROTOCOL_ERROR',
      `${this.#what}: there is no field ${JSON.stringify(other.slice(0, 64))}`,
    );
  }

  /** A string of at most `maxLength` UTF-16 units that can be written again, as in an error. */
  string(name: string, maxLength = 1024): string {
    const value = this.get(name);
    if (!isWellFormed(value) || value.length > maxLength) throw this.#bad(name);
    return value;
  }

  strings(name: string, maxCount = 64): string[] {
    const value = this.get(name);
    if (!Array.isArray(value) || value.length > maxCount || !value.every(isWellFormed)) {
      throw this.#bad(name);
    }
    return value;
  }

  /** A map inside the map, or null for nil or absent. */
  fields(name: string): Fields | null {
    if (!this.has(name)) return null;
    const value = this.get(name);
    if (typeof value !== 'object' || Object.getPrototypeOf(value) !== Object.prototype) throw this.#bad(name);
    return new Fields(value as Record<string, unknown>, `${this.#what}.${name}`);
  }

  #bad(name: string): CordwoodError {
    return new CordwoodError('PROTOCOL_ERROR', `${this.#what}: field "${name}" is missing or wrong`);
  }
}

/** The encoding of `value` in the encoder's own memory: valid until the next call. */
function encodeShared(value: unknown): Uint8Array {
  try {
    if (typeof value === 'string') assertText(value);
    const bytes = typeof value === 'bigint' ? throwBigint() : encoder.encodeSharedRef(value);
    if (bytes.buffer.byteLength > KEPT_ENCODER_BYTES) {
      encoder = new Encoder({ extensionCodec: codec, maxDepth: Limits.maxValueDepth });
    }
    return bytes;
  } catch (error) {
    // Too deep for the library, which counts otherwise, need not be too deep.
    const slowly = error === hasBigint || (error instanceof Error && error.message.startsWith('Too deep'));
    if (slowly) return bigintEncoder.encode(widen(value, 0));
    throw error;
  }
}

/** Shorter strings are written by a loop, longer ones by the runtime: measured, the lines cross about here. */
const NATIVE_STRING = 32;
/** So many characters take 255 bytes at most. */
const MAX_STR8 = 85;
const MAX_SIMPLE_STRING = 20_000;

/** The values most people push, straight into `out`. False: it must go through the library. */
function writeSimple(out: ByteWriter, value: unknown): boolean {
  if (typeof value === 'string') {
    if (value.length < NATIVE_STRING) return writeAscii(out, value);
    return value.length <= MAX_SIMPLE_STRING && writeText(out, value);
  }
  if (typeof value === 'number') {
    if (!Number.isInteger(value) || value < 0 || value > 0xffff || Object.is(value, -0)) return false;
    if (value < 0x80) out.u8(value);
    else if (value < 0x100) out.u8(0xcc).u8(value);
    else
      out
        .u8(0xcd)
        .u8(value >>> 8)
        .u8(value);
    return true;
  }
  if (typeof value === 'boolean') {
    out.u8(value ? 0xc3 : 0xc2);
    return true;
  }
  if (value === null || value === undefined) {
    out.u8(0xc0);
    return true;
  }
  if (value instanceof Uint8Array) {
    writeBinary(out, value);
    return true;
  }
  return false;
}

function writeBinary(out: ByteWriter, value: Uint8Array): void {
  const { length } = value;
  out.ensure(length + 5);
  if (length < 0x100) out.u8(0xc4).u8(length);
  else {
    if (length < 0x10000) out.u8(0xc5);
    else
      out
        .u8(0xc6)
        .u8(length >>> 24)
        .u8(length >>> 16);
    out.u8(length >>> 8).u8(length);
  }
  out.bytes(value);
}

/** A short string. False, with nothing written, if a character is not ASCII. */
function writeAscii(out: ByteWriter, text: string): boolean {
  const { length } = text;
  out.ensure(length + 1);
  const buffer = out.buffer;
  let at = out.position;
  buffer[at++] = 0xa0 | length;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return false;
    buffer[at++] = code;
  }
  out.position = at;
  return true;
}

/** A string of at least 32 characters, hence bytes. */
function writeText(out: ByteWriter, text: string): boolean {
  out.ensure(3 * text.length + 3);
  const { buffer, position } = out;
  if (text.length <= MAX_STR8) {
    const bytes = buffer.write(text, position + 2, 'utf8');
    if (bytes !== text.length) assertText(text);
    buffer[position] = 0xd9;
    buffer[position + 1] = bytes;
    out.position = position + 2 + bytes;
    return true;
  }
  const bytes = Buffer.byteLength(text);
  if (bytes !== text.length) assertText(text);
  if (bytes < 0x100) out.u8(0xd9).u8(bytes);
  else
    out
      .u8(0xda)
      .u8(bytes >>> 8)
      .u8(bytes);
  out.position += buffer.write(text, out.position, 'utf8');
  return true;
}

function throwBigint(): never {
  throw hasBigint;
}

/** Half of a pair that stands alone is no character: UTF-8 has no form for it, and it would come back as another. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Whether it is a string that has a form in UTF-8. */
export function isWellFormed(value: unknown): value is string {
  return typeof value === 'string' && !LONE_SURROGATE.test(value);
}

function assertText(text: string): void {
  if (!isWellFormed(text)) throw new RangeError('a string has half a surrogate pair');
}

/**
 * Throws a RangeError for half a surrogate pair in the strings that `object` itself holds, keys among them; what they are
 * in is looked at when its turn comes.
 */
function assertTexts(object: object): void {
  if (Array.isArray(object)) {
    for (const item of object) if (typeof item === 'string') assertText(item);
  } else if (!ArrayBuffer.isView(object)) {
    for (const key of Object.keys(object)) {
      assertText(key);
      const item = (object as Record<string, unknown>)[key];
      if (typeof item === 'string') assertText(item);
    }
  }
}

/** Throws a TypeError if msgpack would make something else of `object` itself; what it holds is not looked at. */
export function assertEncodable(object: object): void {
  if (ArrayBuffer.isView(object)) {
    if (!(object instanceof Uint8Array))
      throw new TypeError('of the typed arrays only a Uint8Array is a msgpack value');
  } else if (
    object instanceof Map ||
    object instanceof Set ||
    object instanceof ArrayBuffer ||
    object instanceof Promise
  ) {
    throw new TypeError(
      `a ${object.constructor.name} is not a msgpack value; use an array, a plain object or a Uint8Array`,
    );
  } else if (object instanceof Date && Number.isNaN(object.getTime())) {
    throw new TypeError('an invalid Date is not a msgpack value');
  }
}

/** A copy in which every integer that needs 64 bits is a bigint, and no other is. `depth`: arrays and maps around it. */
function widen(value: unknown, depth: number): unknown {
  if (typeof value === 'bigint') {
    if (value < -(2n ** 63n) || value >= 2n ** 64n) throw new RangeError(`${value} does not fit in 64 bits`);
    return value >= -0x80000000n && value <= 0xffffffffn ? Number(value) : value;
  }
  if (typeof value === 'number') {
    const wide = Number.isSafeInteger(value) && (value > 0xffffffff || value < -0x80000000);
    return wide ? BigInt(value) : value;
  }
  if (typeof value !== 'object' || value === null) {
    if (typeof value === 'function' || typeof value === 'symbol') {
      throw new TypeError(`a ${typeof value} is not a msgpack value`);
    }
    return value;
  }
  const isArray = Array.isArray(value);
  assertTexts(value);
  if (!isArray) {
    assertEncodable(value);
    if (ArrayBuffer.isView(value) || value instanceof Date || value instanceof ExtData) return value;
  }
  if (depth >= Limits.maxValueDepth)
    throw new RangeError(`a value nests deeper than ${Limits.maxValueDepth} arrays and maps`);
  if (isArray) return value.map((element) => widen(element, depth + 1));
  const copy: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const key of Object.keys(value)) copy[key] = widen((value as Record<string, unknown>)[key], depth + 1);
  return copy;
}
