import { Decoder, Encoder, ExtData, ExtensionCodec } from '@msgpack/msgpack';
import {
  assertEncodable,
  assertText,
  assertTexts,
  decodeValue,
  HalfPairError,
} from '../../protocol/msgpack.ts';
import { escapeTexts, unescapeTexts } from './escaped-texts.ts';

/** A state may nest deeper than the values it is made of, and is no stranger's. */
const MAX_DEPTH = 1000;
/** Extension around a state with escaped texts. Applications have the types from 0 on. */
const ESCAPED = -100;

/** For answers: refuses what msgpack would silently turn into something else. */
class AnswerCodec extends ExtensionCodec {
  override tryToEncode(object: unknown, context: undefined): ExtData | null {
    if (typeof object === 'object' && object !== null) assertEncodable(object);
    return super.tryToEncode(object, context);
  }
}

/** For what `save` made: also what would come back without its methods, or with another text. */
class SavedCodec extends AnswerCodec {
  override tryToEncode(object: unknown, context: undefined): ExtData | null {
    const extension = super.tryToEncode(object, context);
    if (extension === null && typeof object === 'object' && object !== null) {
      assertPlain(object);
      assertTexts(object);
    }
    return extension;
  }
}

/** For states that are saved as they are: also what would come back as something else. */
class StateCodec extends SavedCodec {
  override tryToEncode(object: unknown, context: undefined): ExtData | null {
    const extension = super.tryToEncode(object, context);
    if (typeof object === 'object' && object !== null) assertComesBack(object);
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

// What is undefined stays away: as nil it would be null on a node that started from a snapshot.
const common = { ignoreUndefined: true, maxDepth: MAX_DEPTH };
const forAnswers = { ...common, extensionCodec: new AnswerCodec() };
const forSaved = { ...common, extensionCodec: new SavedCodec() };
const forStates = { ...common, extensionCodec: new StateCodec() };
/** An encoder keeps the largest buffer it ever needed. Above this size it is not kept itself. */
const KEPT_ENCODER_BYTES = 1 << 20;
let answers = new Encoder(forAnswers);
const inputs = new Decoder({ extensionCodec: new InputCodec() });

/** A command or query that a defined machine is given. Throws if the bytes are not one msgpack value. */
export function decodeInput(bytes: Uint8Array): unknown {
  return inputs.decode(bytes);
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
  return encodeWhole(state, forStates);
}

/** What `save` made of a state, for which `load` makes it again: as `encodeState`, but any bytes and any map will do. */
export function encodeSaved(state: unknown): Uint8Array {
  return encodeWhole(state, forSaved);
}

/**
 * Half of a surrogate pair is where a text was cut in the middle of a character. The library writes another in its place,
 * if the text is long: a node that starts from the snapshot would come to other answers than its neighbours. Such a state
 * is written with texts that have a form.
 */
function encodeWhole(state: unknown, options: typeof forSaved): Uint8Array {
  try {
    if (typeof state === 'string') assertText(state);
    return new Encoder(options).encode(state);
  } catch (error) {
    if (!(error instanceof HalfPairError)) throw error;
    const content = new Encoder(options).encode(escapeTexts(state));
    return new Encoder().encode(new ExtData(ESCAPED, content));
  }
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
  return unescapeTexts(decodeValue(content, 0, content.length, MAX_DEPTH));
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
  if (Array.isArray(object) && object.includes(undefined))
    throw new TypeError('what is undefined in an array would come back as null');
}
