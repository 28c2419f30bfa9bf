import { Decoder, ExtData, ExtensionCodec } from '@msgpack/msgpack';

import { copyOf } from './byte-writer.ts';
import { CordwoodError } from './errors.ts';
import { lastScan, MAX_ANSWER_DEPTH, msgpackEnd, Scan, skipValue } from './msgpack-scan.ts';

/*
 * Values of users out of their bytes. The library does nearly all of it; what it refuses or would change, although
 * it is a value like any other, is read here.
 */

/** A timestamp that is none, or that no Date can hold, stays an extension: read it must be, and go back as it came. */
class LenientCodec extends ExtensionCodec {
  override decode(data: Uint8Array, type: number, context: undefined): unknown {
    try {
      const value = super.decode(data, type, context);
      if (!(value instanceof Date) || !Number.isNaN(value.getTime())) return value;
    } catch {
      // Its content is of no length that a timestamp has.
    }
    return new ExtData(type, data);
  }
}

const extensionCodec: ExtensionCodec = new LenientCodec();
const decoder = new Decoder({ extensionCodec });
const bigintDecoder = new Decoder({ extensionCodec, useBigInt64: true });
/** The library's own drops a byte order mark at the beginning of a string. */
const textDecoder = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * The value in exactly `bytes[start, end)`. Integers beyond ±(2^53 − 1) come back as `bigint`, all others as
 * `number`; bin as `Uint8Array`; timestamps as `Date`; other extensions as the library's `ExtData`. A key `__proto__`
 * becomes a property like any other, as `JSON.parse` makes it: no prototype is touched. The value shares no memory
 * with `bytes`.
 *
 * @throws CordwoodError `PROTOCOL_ERROR` if the bytes are no msgpack value, nested too deep, or a map in them has keys
 *   that are neither strings nor numbers.
 */
export function decodeValue(
  bytes: Uint8Array,
  start = 0,
  end: number = bytes.length,
  maxDepth: number = MAX_ANSWER_DEPTH,
): unknown {
  const content = binaryStart(bytes, start, end);
  if (content > 0) return copyOf(bytes, content, end);
  if (msgpackEnd(bytes, start, end, maxDepth) !== end)
    throw new CordwoodError('PROTOCOL_ERROR', 'not one whole msgpack value');
  const scan = lastScan();
  let source = bytes.subarray(start, end);
  if ((scan & Scan.binary) !== 0) source = copyOf(bytes, start, end);
  if ((scan & Scan.byteOrderMark) !== 0) return new ValueReader(source).value();
  try {
    return (scan & Scan.wideInteger) === 0 ? decoder.decode(source) : narrow(bigintDecoder.decode(source));
  } catch {
    return new ValueReader(source).value();
  }
}

/** Where the content of the binary value begins that fills `bytes[start, end)`; 0: there is something else. */
function binaryStart(bytes: Uint8Array, start: number, end: number): number {
  const type = bytes[start]!;
  if (!(type >= 0xc4 && type <= 0xc6)) return 0;
  const content = start + 1 + (1 << (type - 0xc4));
  let length = 0;
  for (let i = start + 1; i < content && i < end; i++) length = length * 256 + bytes[i]!;
  return content + length === end ? content : 0;
}

/** Reads arrays and maps itself and leaves the rest to the library. The bytes have passed `skipValue`. */
class ValueReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  value(): unknown {
    const type = this.#bytes[this.#at]!;
    if ((type >= 0x80 && type < 0x90) || type === 0xde || type === 0xdf) return this.#map(this.#count());
    if ((type >= 0x90 && type < 0xa0) || type === 0xdc || type === 0xdd) return this.#array(this.#count());
    return this.#scalar(type);
  }

  /** Reads the header of an array or map. */
  #count(): number {
    const type = this.#bytes[this.#at++]!;
    if (type < 0xa0) return type & 0x0f;
    let count = 0;
    for (let i = type % 2 === 0 ? 2 : 4; i > 0; i--) count = count * 256 + this.#bytes[this.#at++]!;
    return count;
  }

  #array(count: number): unknown[] {
    const array: unknown[] = [];
    for (let i = 0; i < count; i++) array.push(this.value());
    return array;
  }

  #map(count: number): Record<string, unknown> {
    const map: Record<string, unknown> = {};
    for (let i = 0; i < count; i++) {
      const key = this.value();
      if (typeof key !== 'string' && typeof key !== 'number' && typeof key !== 'bigint') {
        throw new CordwoodError('PROTOCOL_ERROR', 'a map has a key that is neither a string nor a number');
      }
      // Assigning to `__proto__` would change the prototype instead.
      Object.defineProperty(map, String(key), {
        value: this.value(),
        writable: true,
        enumerable: true,
        configurable: true,
      });
    }
    return map;
  }

  #scalar(type: number): unknown {
    const start = this.#at;
    // A value can be full of these, and a call of the library costs more than a byte is worth.
    if (type < 0x80 || type === 0xc0) {
      this.#at++;
      return type === 0xc0 ? null : type;
    }
    this.#at = skipValue(this.#bytes, start, this.#bytes.length);
    if (type >= 0xd9 && type <= 0xdb) {
      return textDecoder.decode(this.#bytes.subarray(start + 1 + (1 << (type - 0xd9)), this.#at));
    }
    const wide = (lastScan() & Scan.wideInteger) !== 0;
    return (wide ? bigintDecoder : decoder).decode(this.#bytes.subarray(start, this.#at));
  }
}

/** Turns the bigints of a freshly decoded value that are safe integers into numbers, in place. */
function narrow(value: unknown): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = narrow(value[i]);
  } else if (Object.getPrototypeOf(value) === Object.prototype) {
    const map = value as Record<string, unknown>;
    for (const key of Object.keys(map)) map[key] = narrow(map[key]);
  }
  return value;
}
