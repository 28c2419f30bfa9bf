import { ByteWriter } from '../../protocol/byte-writer.ts';
import { StackOp, Status } from '../../protocol/constants.ts';
import { CordwoodError, errorCodeOfStatus } from '../../protocol/errors.ts';
import { decodeValue, writeValue } from '../../protocol/msgpack.ts';
import { writeList, writeStackOp } from '../client/stack-operations.ts';

export interface CallOptions {
  readonly timeoutMs: number;
  readonly idempotencyKey?: string;
}

/** A value taken off or looked at, as the msgpack bytes it is stored as. */
export type Taken = Uint8Array | 'empty' | 'notFound';

/**
 * The operations of the stack machine with values as bytes: what a gateway passes on it need not understand. All
 * fail with `CordwoodError`.
 */
export interface StackCalls {
  /** Whether it was made; false: it was there. */
  create(name: string, options: CallOptions): Promise<boolean>;
  exists(name: string, options: CallOptions): Promise<boolean>;
  /** @returns the new size */
  push(name: string, value: Uint8Array, options: CallOptions): Promise<number>;
  /** @returns the new size */
  pushMany(name: string, values: readonly Uint8Array[], options: CallOptions): Promise<number>;
  pop(name: string, options: CallOptions): Promise<Taken>;
  /** @returns a msgpack array, top first */
  popMany(name: string, count: number, options: CallOptions): Promise<Uint8Array | 'notFound'>;
  top(name: string, options: CallOptions): Promise<Taken>;
  size(name: string, options: CallOptions): Promise<number | null>;
  /** Whether there was one. */
  drop(name: string, options: CallOptions): Promise<boolean>;
  /** Sorted by name; those behind `after`, at most `limit`. */
  list(
    prefix: string,
    after: string,
    limit: number,
    options: CallOptions,
  ): Promise<{ name: string; size: number }[]>;
  close(): Promise<void>;
}

/** A status below 64 or an error's, and the body that came with it. */
interface Answer {
  readonly status: number;
  readonly body: Uint8Array;
}

/** What stack operations need of a client. */
export interface AnswerSource {
  command(body: Uint8Array, options: CallOptions): Promise<Answer>;
  query(body: Uint8Array, options: { readonly timeoutMs: number }): Promise<Answer>;
  close(): Promise<void>;
}

/** Stack operations by way of a client. Bodies are read before a call returns, so one buffer serves all of them. */
export function stackCalls(client: AnswerSource): StackCalls {
  const out = new ByteWriter(1024);
  const request = (op: StackOp, name: string): Uint8Array => written(begin(out, op, name, 2));
  const command = async (body: Uint8Array, options: CallOptions): Promise<Answer> =>
    checked(await client.command(body, options), true);
  const query = async (body: Uint8Array, { timeoutMs }: CallOptions): Promise<Answer> =>
    checked(await client.query(body, { timeoutMs }), false);
  return {
    create: async (name, options) =>
      (await command(request(StackOp.create, name), options)).status === Status.ok,
    exists: async (name, options) =>
      (await query(request(StackOp.exists, name), options)).status === Status.ok,
    push: async (name, value, options) =>
      numberOf(await command(written(begin(out, StackOp.push, name, 3).bytes(value)), options)),
    pushMany: async (name, values, options) => {
      // Always the longest form of an array's header: a key's second request is known by its bytes, whoever wrote it.
      begin(out, StackOp.pushMany, name, 3).u8(0xdd);
      out.u8(values.length >>> 24).u8(values.length >>> 16);
      out.u8(values.length >>> 8).u8(values.length);
      for (const value of values) out.bytes(value);
      return numberOf(await command(written(out), options));
    },
    pop: async (name, options) => takenOf(await command(request(StackOp.pop, name), options)),
    popMany: async (name, count, options) => {
      writeValue(begin(out, StackOp.popMany, name, 3), count);
      const { status, body } = await command(written(out), options);
      return status === Status.ok ? body : 'notFound';
    },
    top: async (name, options) => takenOf(await query(request(StackOp.top, name), options)),
    size: async (name, options) => {
      const answer = await query(request(StackOp.size, name), options);
      return answer.status === Status.ok ? numberOf(answer) : null;
    },
    drop: async (name, options) => (await command(request(StackOp.drop, name), options)).status === Status.ok,
    list: async (prefix, after, limit, options) => {
      out.clear();
      writeList(out, prefix, after, limit);
      const { body } = await query(written(out), options);
      return (decodeValue(body) as [string, number][]).map(([name, size]) => ({ name, size }));
    },
    close: () => client.close(),
  };
}

/** Begins `[op, name, …]`, with `elements` in all; the others are for the caller to write. */
function begin(out: ByteWriter, op: StackOp, name: string, elements: number): ByteWriter {
  out.clear();
  writeStackOp(out, op, name, elements);
  return out;
}

function written(out: ByteWriter): Uint8Array {
  return out.buffer.subarray(0, out.position);
}

function takenOf({ status, body }: Answer): Taken {
  return status === Status.ok ? body : status === Status.empty ? 'empty' : 'notFound';
}

/** Results pass; whatever else a machine or a node answers is an error. */
function checked(answer: Answer, write: boolean): Answer {
  const { status, body } = answer;
  if (
    status === Status.ok ||
    status === Status.empty ||
    status === Status.notFound ||
    status === Status.exists
  ) {
    return answer;
  }
  const code = errorCodeOfStatus(status) ?? (write ? 'OUTCOME_UNKNOWN' : 'PROTOCOL_ERROR');
  throw new CordwoodError(code, messageOf(body) ?? `the cluster answered with status ${status}`);
}

function messageOf(body: Uint8Array): string | undefined {
  try {
    const value = decodeValue(body);
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}

function numberOf({ body }: Answer): number {
  return decodeValue(body) as number;
}
