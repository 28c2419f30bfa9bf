import { Decoder, Encoder, ExtData, ExtensionCodec } from '@msgpack/msgpack';
import { assertEncodable, decodeValue } from '../../protocol/msgpack.ts';
import { escapeState, holdsWithoutForm, isWithoutForm, unescapeState } from './escaped-state.ts';

/** A state may nest deeper than the values it is made of, and is no stranger's. */
const MAX_DEPTH = 1000;
/** Extension around a state with escapes. Applications have the types from 0 on. */
const ESCAPED = -100;

/** For answers: refuses what msgpack would silently turn into something else. */
class AnswerCodec extends ExtensionCodec {
  override tryToEncode(object: unknown, context: undefined): ExtData | null {
    if (typeof object === 'object' && object !== null) assertEncodable(object);
    return super.tryToEncode(object, context);
  }
}

/**
 * For what `save` made: also what would come back without its methods, or with another text. One for each state: it notes
 * what the state needs.
 */
class SavedCodec extends AnswerCodec {
  /** Something in the state has no form of its own in msgpack. */
  needsEscapes = false;

  override tryToEncode(object: unknown, context: undefined): ExtData | null {
    const extension = super.tryToEncode(object, context);
    if (extension === null && typeof object === 'object' && object !== null) {
      assertPlain(object);
      this.needsEscapes ||= !(object instanceof Uint8Array) && holdsWithoutForm(object);
    }
    return extension;
  }
}

/** For states that are saved as they are: also what would come back as something else. */
class StateCodec extends SavedCodec {
  readonly #seen = new Set<object>();

  override tryToEncode(object: unknown, context: undefined): ExtData | null {
    const extension = super.tryToEncode(object, context);
    if (typeof object === 'object' && object !== null) {
      assertComesBack(object);
      if (this.#seen.has(object))
        throw new TypeError('an object that can be reached on two ways would come back as two');
      this.#seen.add(object);
    }
    return extension;
  }
}

/** For commands and queries. A timestamp that no Date can hold could neither be an answer nor be kept in a state. */
class InputCodec extends ExtensionCodec {
  override decode(data: Uint8Array, type: number, context: undefined): unknown {
    const value = super.decode(data, type, context);
    if (value instanceof Date) assertEncodable(value);
    return value;
  }
}

// What is undefined in an answer stays away.
const common = { ignoreUndefined: true, maxDepth: MAX_DEPTH };
const forAnswers = { ...common, extensionCodec: new AnswerCodec() };
/** An encoder keeps the largest buffer it ever needed. Above this size it is not kept itself. */
const KEPT_ENCODER_BYTES = 1 << 20;
let answers = new Encoder(forAnswers);
const inputs = new Decoder({ extensionCodec: new InputCodec() });

export class InexactError extends RangeError {}

/**
 * A command or query that a defined machine is given: the one msgpack value that `bytes` are. `isWide`: there are integers
 * beyond ±(2^53 − 1) in it.
 *
 * @throws InexactError for an integer that no number is equal to: two ids would become the same one
 */
export function decodeInput(bytes: Uint8Array, isWide: boolean): unknown {
  if (isWide && holdsInexact(decodeValue(bytes)))
    throw new InexactError('A whole number in it is too large for a JavaScript number: send it as text.');
  return inputs.decode(bytes);
}

/** Whether anything in a decoded value is an integer that no number is equal to. */
function holdsInexact(value: unknown): boolean {
  if (typeof value === 'bigint') return BigInt(Number(value)) !== value;
  if (Array.isArray(value)) return value.some(holdsInexact);
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return false;
  return Object.values(value).some(holdsInexact);
}

/**
 * The answer of a defined machine as msgpack, valid until the next call.
 *
 * @throws TypeError for what msgpack cannot carry: a Map, a Set, a function, a bigint
 */
export function encodeAnswer(answer: unknown): Uint8Array {
  const bytes = answers.encodeSharedRef(answer);
  if (bytes.buffer.byteLength > KEPT_ENCODER_BYTES) answers = new Encoder(forAnswers);
  return bytes;
}

/**
 * A state to be stored in a snapshot as it is.
 *
 * @throws TypeError for what would not come back as it is: a Map would be `{}`, an instance of a class would have lost
 *   its methods
 */
export function encodeState(state: unknown): Uint8Array {
  return encodeWhole(state, new StateCodec());
}

/** What `save` made of a state, for which `load` makes it again: as `encodeState`, but any bytes and any map will do. */
export function encodeSaved(state: unknown): Uint8Array {
  return encodeWhole(state, new SavedCodec());
}

/**
 * msgpack has no form for −0, for `undefined`, nor for a text that was cut in the middle of a character: they would come
 * back as 0, as nothing and as another text, and a node that starts from the snapshot would come to other answers than
 * its neighbours. A state with any of them is written with escapes.
 */
function encodeWhole(state: unknown, codec: SavedCodec): Uint8Array {
  const bytes = new Encoder({ ...common, extensionCodec: codec }).encode(state);
  if (!codec.needsEscapes && !isWithoutForm(state)) return bytes;
  return new Encoder().encode(new ExtData(ESCAPED, new Encoder(common).encode(escapeState(state))));
}

/**
 * What `encodeState` or `encodeSaved` was given, out of `bytes[start, end)`. Throws if the bytes are not one msgpack value.
 * Whatever could be saved is read: keys may come from clients, so there may be one `__proto__`, which the library refuses.
 */
export function decodeState(bytes: Uint8Array, start = 0, end: number = bytes.length): unknown {
  const state = decodeValue(bytes, start, end, MAX_DEPTH);
  if (!(state instanceof ExtData) || state.type !== ESCAPED) return state;
  // The library gives a function in place of bytes only to be encoded.
  const content = state.data as Uint8Array;
  return unescapeState(decodeValue(content, 0, content.length, MAX_DEPTH));
}

/**
 * Throws a TypeError for what `encodeState` would not see in `state`: properties that are computed, or that no loop meets.
 * Too slow for a large state.
 */
export function assertValuesOnly(state: unknown): void {
  if (typeof state !== 'object' || state === null || ArrayBuffer.isView(state)) return;
  for (const key of Reflect.ownKeys(state)) {
    if (Array.isArray(state) && key === 'length') continue;
    const property = Object.getOwnPropertyDescriptor(state, key)!;
    if (typeof key === 'symbol' || property.enumerable !== true || !('value' in property))
      throw new TypeError(`the property ${String(key)} would be lost, or come back as a value`);
    assertValuesOnly(property.value);
  }
}

function assertPlain(object: object): void {
  if (Array.isArray(object) || object instanceof Uint8Array) return;
  const prototype: unknown = Object.getPrototypeOf(object);
  if (prototype === Object.prototype || prototype === null) return;
  throw new TypeError(`an instance of ${object.constructor.name} would come back as a plain object`);
}

/** The object has passed `assertPlain`. */
function assertComesBack(object: object): void {
  const prototype = Object.getPrototypeOf(object) as object | null;
  if (prototype === null) throw new TypeError('an object without a prototype would come back with one');
  // `in` and `toString` would find other things, and a Buffer has methods of its own.
  if (object instanceof Uint8Array && prototype !== Uint8Array.prototype)
    throw new TypeError(`a ${object.constructor.name} would come back as a Uint8Array`);
  if (Array.isArray(object) && Object.keys(object).length !== object.length)
    throw new TypeError('an array would come back without its holes, and without properties of its own');
}
