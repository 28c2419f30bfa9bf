import { viewOf } from '../../protocol/byte-writer.ts';
import { skipValue } from '../../protocol/msgpack-scan.ts';

/**
 * msgpack values as text, straight from their bytes: decoding to JavaScript first would lose what JavaScript cannot
 * hold (64-bit integers, maps with `__proto__` or with keys that are no strings), and a value that a pop has taken
 * off must be shown whatever it is.
 *
 * The bytes have passed `skipValue`: they are one whole value, nested no deeper than that lets through.
 */

/** A byte order mark at the beginning of a string belongs to it. */
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** What a value is at its outermost: text, bytes, or anything else. */
export interface Scalar {
  readonly type: 'str' | 'bin' | 'other';
  /** Content of a str or bin; a view on the value's bytes. */
  readonly bytes: Uint8Array;
}

/** Takes the value in `bytes` apart as far as plain text needs it. */
export function scalarOf(bytes: Uint8Array): Scalar {
  const type = bytes[0]!;
  if (type >= 0xa0 && type < 0xc0) return { type: 'str', bytes: bytes.subarray(1) };
  if (type >= 0xd9 && type <= 0xdb) return { type: 'str', bytes: bytes.subarray(1 + (1 << (type - 0xd9))) };
  if (type >= 0xc4 && type <= 0xc6) return { type: 'bin', bytes: bytes.subarray(1 + (1 << (type - 0xc4))) };
  return { type: 'other', bytes };
}

/**
 * The value as JSON text. What JSON has no form for: bin is `{"$bin": base64}`, an extension is
 * `{"$ext": [type, base64]}`, a timestamp an ISO 8601 string, NaN and the infinities are null; 64-bit integers are
 * written with all their digits; a map's key that is no string becomes the JSON text of it.
 */
export function jsonOf(bytes: Uint8Array): string {
  return new Reader(bytes).value();
}

/** The values in a msgpack array, as views on its bytes. */
export function arrayItems(bytes: Uint8Array): Uint8Array[] {
  const type = bytes[0]!;
  let at = type === 0xdc ? 3 : type === 0xdd ? 5 : 1;
  const items: Uint8Array[] = [];
  while (at < bytes.length) {
    const end = skipValue(bytes, at, bytes.length);
    if (end === -1) break;
    items.push(bytes.subarray(at, end));
    at = end;
  }
  return items;
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
  }

  value(): string {
    const type = this.#bytes[this.#at++]!;
    if (type < 0x80) return String(type);
    if (type >= 0xe0) return String(type - 0x100);
    if (type < 0x90) return this.#map(type & 0x0f);
    if (type < 0xa0) return this.#array(type & 0x0f);
    if (type < 0xc0) return JSON.stringify(this.#text(type & 0x1f));
    const view = this.#view;
    switch (type) {
      case 0xc2:
        return 'false';
      case 0xc3:
        return 'true';
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return `{"$bin":"${this.#base64(this.#length(type - 0xc4))}"}`;
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.#extension(this.#length(type - 0xc7));
      case 0xca:
        return number(view.getFloat32(this.#skip(4)));
      case 0xcb:
        return number(view.getFloat64(this.#skip(8)));
      case 0xcc:
        return String(view.getUint8(this.#skip(1)));
      case 0xcd:
        return String(view.getUint16(this.#skip(2)));
      case 0xce:
        return String(view.getUint32(this.#skip(4)));
      case 0xcf:
        return String(view.getBigUint64(this.#skip(8)));
      case 0xd0:
        return String(view.getInt8(this.#skip(1)));
      case 0xd1:
        return String(view.getInt16(this.#skip(2)));
      case 0xd2:
        return String(view.getInt32(this.#skip(4)));
      case 0xd3:
        return String(view.getBigInt64(this.#skip(8)));
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#extension(1 << (type - 0xd4));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return JSON.stringify(this.#text(this.#length(type - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#length(type - 0xdb));
      case 0xde:
      case 0xdf:
        return this.#map(this.#length(type - 0xdd));
      default:
        return 'null';
    }
  }

  #skip(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    return at;
  }

  /** A length of 1, 2 or 4 bytes: 2^exponent. */
  #length(exponent: number): number {
    if (exponent === 0) return this.#view.getUint8(this.#skip(1));
    if (exponent === 1) return this.#view.getUint16(this.#skip(2));
    return this.#view.getUint32(this.#skip(4));
  }

  #text(bytes: number): string {
    const at = this.#skip(bytes);
    return decoder.decode(this.#bytes.subarray(at, at + bytes));
  }

  #base64(bytes: number): string {
    const at = this.#skip(bytes);
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + at, bytes).toString('base64');
  }

  #array(count: number): string {
    const parts: string[] = [];
    for (let i = 0; i < count; i++) parts.push(this.value());
    return `[${parts.join(',')}]`;
  }

  #map(count: number): string {
    const parts: string[] = [];
    for (let i = 0; i < count; i++) {
      const key = this.value();
      parts.push(`${key.startsWith('"') ? key : JSON.stringify(key)}:${this.value()}`);
    }
    return `{${parts.join(',')}}`;
  }

  #extension(bytes: number): string {
    const type = this.#view.getInt8(this.#skip(1));
    const at = this.#at;
    if (type === -1) {
      const time = timestamp(this.#view, at, bytes);
      if (time !== null) {
        this.#at += bytes;
        return JSON.stringify(time);
      }
    }
    return `{"$ext":[${type},"${this.#base64(bytes)}"]}`;
  }
}

function number(value: number): string {
  return Number.isFinite(value) ? (Object.is(value, -0) ? '-0.0' : String(value)) : 'null';
}

/** A timestamp extension (4, 8 or 12 bytes) in ISO 8601, down to its nanoseconds; null if it is none. */
function timestamp(view: DataView, at: number, bytes: number): string | null {
  let seconds: number;
  let nanoseconds = 0;
  if (bytes === 4) seconds = view.getUint32(at);
  else if (bytes === 8) {
    nanoseconds = view.getUint32(at) >>> 2;
    seconds = (view.getUint32(at) & 3) * 4294967296 + view.getUint32(at + 4);
  } else if (bytes === 12) {
    nanoseconds = view.getUint32(at);
    seconds = Number(view.getBigInt64(at + 4));
  } else return null;
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime()) || nanoseconds > 999_999_999) return null;
  const fraction = String(nanoseconds).padStart(9, '0');
  return date
    .toISOString()
    .replace(/\.\d+Z$/, `.${fraction.endsWith('000000') ? fraction.slice(0, 3) : fraction}Z`);
}
