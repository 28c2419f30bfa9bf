import { type ByteWriter, copyOf } from '../../protocol/byte-writer.ts';
import { StackOp, Status } from '../../protocol/constants.ts';
import { CordwoodError, errorCodeOfStatus } from '../../protocol/errors.ts';
import { decodeValue, writeValue } from '../../protocol/msgpack.ts';

/*
 * Commands and queries of the stack machine as they lie in frames, and its results as callers get them.
 */

/** A stack and how much is on it. */
export interface StackInfo {
  readonly name: string;
  readonly size: number;
}

/** `[op, name]`, or the beginning of `[op, name, x]` if `elements` is 3. */
export function writeStackOp(out: ByteWriter, op: StackOp, name: string, elements = 2): void {
  if (typeof name !== 'string') throw new TypeError('the name of a stack is a string');
  out.u8(0x90 | elements).u8(op);
  writeValue(out, name);
}

export function writeList(out: ByteWriter, prefix: string, after: string, limit: number): void {
  writeValue(out, [StackOp.list, prefix, after, limit]);
}

export function decodeCreated(status: number, bytes: Uint8Array, start: number, end: number): boolean {
  if (status === Status.ok) return true;
  if (status === Status.exists) return false;
  throw machineError(status, bytes, start, end);
}

/** drop and exists: whether there was such a stack. */
export function decodeFound(status: number, bytes: Uint8Array, start: number, end: number): boolean {
  if (status === Status.ok) return true;
  if (status === Status.notFound) return false;
  throw machineError(status, bytes, start, end);
}

export function decodeSize(status: number, bytes: Uint8Array, start: number, end: number): number {
  if (status !== Status.ok) throw machineError(status, bytes, start, end);
  const tag = bytes[start]!;
  if (tag < 0x80 && end === start + 1) return tag;
  if (tag === 0xcc && end === start + 2) return bytes[start + 1]!;
  if (tag === 0xcd && end === start + 3) return (bytes[start + 1]! << 8) | bytes[start + 2]!;
  if (tag === 0xce && end === start + 5) {
    const high = (bytes[start + 1]! << 8) | bytes[start + 2]!;
    return high * 65_536 + ((bytes[start + 3]! << 8) | bytes[start + 4]!);
  }
  const size = decodeValue(bytes, start, end);
  if (typeof size !== 'number') throw new CordwoodError('PROTOCOL_ERROR', 'the answer is not a size');
  return size;
}

/** The value, or undefined if the stack is empty. */
export function decodeTaken(status: number, bytes: Uint8Array, start: number, end: number): unknown {
  if (status === Status.ok) return decodeOrKeep(bytes, start, end);
  if (status === Status.empty) return undefined;
  throw machineError(status, bytes, start, end);
}

/** As `decodeTaken`, the value as the msgpack bytes it is stored as. */
export function decodeTakenBytes(
  status: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): Uint8Array | undefined {
  if (status === Status.ok) return copyOf(bytes, start, end);
  if (status === Status.empty) return undefined;
  throw machineError(status, bytes, start, end);
}

export function decodeValues(status: number, bytes: Uint8Array, start: number, end: number): unknown[] {
  if (status === Status.empty) return [];
  if (status !== Status.ok) throw machineError(status, bytes, start, end);
  const values = decodeOrKeep(bytes, start, end);
  if (!Array.isArray(values)) throw new CordwoodError('PROTOCOL_ERROR', 'the answer is not an array');
  return values;
}

export function decodePage(status: number, bytes: Uint8Array, start: number, end: number): StackInfo[] {
  return decodeValues(status, bytes, start, end).map((entry) => {
    const [name, size] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (typeof name === 'string' && typeof size === 'number') return { name, size };
    throw new CordwoodError('PROTOCOL_ERROR', 'the answer is not a list of stacks');
  });
}

/** Any machine's answer to `send` and `ask`: the value if the status is `ok`, else an error. */
export function decodeAnswerValue(status: number, bytes: Uint8Array, start: number, end: number): unknown {
  if (status !== Status.ok) throw machineError(status, bytes, start, end);
  return start === end ? undefined : decodeOrKeep(bytes, start, end);
}

/** As `decodeValue`; the error has the bytes, for the caller of a pop has no other way to them. */
function decodeOrKeep(bytes: Uint8Array, start: number, end: number): unknown {
  try {
    return decodeValue(bytes, start, end);
  } catch (cause) {
    const why = (cause as Error).message;
    throw new CordwoodError('PROTOCOL_ERROR', `the answer cannot be decoded: ${why}`, {
      encoded: copyOf(bytes, start, end),
      cause,
    });
  }
}

/** What a status that is no result stands for. The machine changed nothing. */
function machineError(status: number, bytes: Uint8Array, start: number, end: number): CordwoodError {
  const code = errorCodeOfStatus(status);
  if (code === undefined)
    return new CordwoodError('PROTOCOL_ERROR', `the machine answered with status ${status}`);
  return new CordwoodError(code, textOf(bytes, start, end) ?? defaultText(status));
}

function textOf(bytes: Uint8Array, start: number, end: number): string | undefined {
  try {
    const value = decodeValue(bytes, start, end);
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}

function defaultText(status: number): string {
  if (status === Status.notFound) return 'there is no such stack';
  return status === Status.limit
    ? 'a limit of the machine forbids it'
    : 'the machine does not know this command';
}
