import { CordwoodError } from '../../protocol/errors.ts';
import { isWellFormed } from '../../protocol/msgpack.ts';

/** An error quotes no more than this of what it was sent. */
const MAX_SHOWN_LENGTH = 64;

/**
 * The fields of a request's JSON body. What is not understood is refused, not passed over: of `{"dryrun":true}` or of
 * a value beside `values` the caller would believe that it had been heeded.
 */
export class JsonFields {
  readonly #fields: Readonly<Record<string, unknown>>;

  /** @throws CordwoodError `MALFORMED` if the body is no JSON object, or has other fields than the `known` ones. */
  constructor(body: Uint8Array, known: readonly string[]) {
    const fields = objectIn(body);
    for (const name of Object.keys(fields)) {
      if (known.includes(name)) continue;
      const shown = JSON.stringify(name.slice(0, MAX_SHOWN_LENGTH));
      throw malformed(`${shown} is not a field of this request; it takes ${known.map(quoted).join(', ')}`);
    }
    this.#fields = fields;
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#fields, name);
  }

  /** Undefined if it is absent. */
  get(name: string): unknown {
    return this.has(name) ? this.#fields[name] : undefined;
  }

  /** False if it is absent. */
  flag(name: string): boolean {
    const value = this.get(name) ?? false;
    if (typeof value === 'boolean') return value;
    throw malformed(`${quoted(name)} must be true or false`);
  }

  integer(name: string): number {
    return integerOf(this.get(name), quoted(name));
  }

  text(name: string): string {
    return textOf(this.get(name), quoted(name));
  }

  integers(name: string): number[] {
    return this.list(name).map((value, i) => integerOf(value, `${quoted(name)}[${i}]`));
  }

  list(name: string): unknown[] {
    const value = this.get(name);
    if (Array.isArray(value)) return value;
    throw malformed(`${quoted(name)} must be a list`);
  }
}

/** `what` names the value in the error, as it stands in the body. */
export function integerOf(value: unknown, what: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw malformed(`${what} must be a whole number from 0`);
}

/** As `integerOf`, for a text. */
export function textOf(value: unknown, what: string): string {
  if (typeof value !== 'string') throw malformed(`${what} must be a string`);
  if (!isWellFormed(value)) throw malformed(`${what} has half a surrogate pair`);
  return value;
}

function objectIn(body: Uint8Array): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw malformed('the body is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw malformed('the body is not a JSON object');
  return value as Record<string, unknown>;
}

function quoted(name: string): string {
  return `"${name}"`;
}

function malformed(message: string): CordwoodError {
  return new CordwoodError('MALFORMED', message);
}
