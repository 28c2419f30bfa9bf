import { Decoder, Encoder, type ExtData, ExtensionCodec } from '@msgpack/msgpack';
import { assertEncodable } from '../../protocol/msgpack.ts';

/** A state may nest deeper than the values it is made of, and is no stranger's. */
const MAX_DEPTH = 1000;

/** For answers: refuses what msgpack would silently turn into something else. */
class AnswerCodec extends ExtensionCodec {
  override tryToEncode(object: unknown, context: undefined): ExtData | null {
    if (typeof object === 'object' && object !== null) assertEncodable(object);
    return super.tryToEncode(object, context);
  }
}

/** For states: also what would come back without its methods. */
class StateCodec extends AnswerCodec {
  override tryToEncode(object: unknown, context: undefined): ExtData | null {
    const extension = super.tryToEncode(object, context);
    if (typeof object === 'object' && object !== null) assertPlain(object);
    return extension;
  }
}

// What is undefined stays away: as nil it would be null on a node that started from a snapshot.
const common = { ignoreUndefined: true, maxDepth: MAX_DEPTH };
const answers = new Encoder({ ...common, extensionCodec: new AnswerCodec() });
const states = new Encoder({ ...common, extensionCodec: new StateCodec() });
const decoder = new Decoder();

/**
 * The answer of a defined machine as msgpack, valid until the next call.
 *
 * @throws TypeError for what msgpack cannot carry: a Map, a Set, a function, a bigint
 */
export function encodeAnswer(answer: unknown): Uint8Array {
  return answers.encodeSharedRef(answer);
}

/**
 * A state to be stored in a snapshot.
 *
 * @throws TypeError for what would not come back as it is: a Map would be `{}`, an instance of a class would have lost
 *   its methods
 */
export function encodeState(state: unknown): Uint8Array {
  return states.encode(state);
}

/** What `encodeState` was given. Throws if the bytes are not one msgpack value. */
export function decodeState(bytes: Uint8Array): unknown {
  return decoder.decode(bytes);
}

function assertPlain(object: object): void {
  if (Array.isArray(object) || object instanceof Uint8Array || object instanceof Date) return;
  const prototype: unknown = Object.getPrototypeOf(object);
  if (prototype === Object.prototype || prototype === null) return;
  throw new TypeError(`an instance of ${object.constructor.name} would come back as a plain object`);
}
