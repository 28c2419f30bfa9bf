import type { ByteWriter } from '../../protocol/byte-writer.ts';
import { Limits, Status, StackOp } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { itemBytes } from './item-trailer.ts';
import {
  msgpackEnd,
  patchWideArrayHeader,
  writeArrayHeader,
  writeBool,
  writeNil,
  writeStrBytes,
  writeText,
  writeUint,
  writeWideArrayHeader,
} from './msgpack.ts';
import type { SlabStack } from './slab-stack.ts';
import { StackCommand } from './stack-command.ts';
import { readStacks, StackSnapshot } from './stack-snapshot.ts';
import { stackBytes, StackTable } from './stack-table.ts';
import type { SnapshotView, StateMachine } from './state-machine.ts';

/**
 * Limits of the stack machine. They decide results, so **they must be the same on every node of a cluster, as long as
 * it lives**: a node runs entries of its log again when it starts, and a push that a smaller limit had refused would
 * then be there. A cluster with other limits is made from a backup (docs/embedding.md).
 */
export interface StackLimits {
  /** Number of stacks. Default 1,000,000. */
  readonly maxStacks: number;
  /** Bytes of all stacks: items with their length trailers, and 256 bytes and the name for each stack. Default 4 GiB. */
  readonly maxBytes: number;
}

export const defaultStackLimits: StackLimits = { maxStacks: 1_000_000, maxBytes: 4 * 1024 ** 3 };

/** A result of many values stops growing here (a single value may be larger). */
const MAX_RESULT_BYTES = 1 << 20;
const MAX_OP = Math.max(...Object.values(StackOp));
/** `list` without a limit. */
const DEFAULT_LIST_LENGTH = 1000;

/**
 * The replicated stacks. Commands and queries are msgpack arrays `[op, name, …]` (see `StackOp`), values any
 * msgpack value, kept as the bytes that came.
 *
 * | op | status and body |
 * |---|---|
 * | create | ok, exists: nil |
 * | push, pushMany | ok: the new size. Makes the stack if there is none |
 * | pop, top | ok: the value · empty, notFound: nil |
 * | popMany | ok: array of values, top first · notFound: nil |
 * | drop | ok: the size it had · notFound: nil |
 * | exists | ok: true · notFound: false |
 * | size | ok: the size · notFound: nil |
 * | list | ok: array of [name, size], sorted by the names' bytes |
 *
 * Anything else is `badCommand` with a text, and what a limit forbids is `limit` with a text; both change nothing.
 *
 * @example
 * const node = await RaftNode.start({ id: 1, cluster, dataDir, machine: new StackMachine() });
 */
export class StackMachine implements StateMachine {
  readonly name = 'stack';
  readonly version = 1;
  readonly limits: StackLimits;
  #table = new StackTable();
  readonly #command = new StackCommand();
  /** Commands applied since the start, by op. */
  readonly #applied = new Float64Array(MAX_OP + 1);

  /** @throws CordwoodError `BAD_OPTION` */
  constructor(limits: Partial<StackLimits> = {}) {
    // They are part of what commands do, and can never change: a misspelt one must not go unnoticed.
    for (const name of Object.keys(limits))
      if (!Object.hasOwn(defaultStackLimits, name))
        throw new TypeError(`${name} is no limit of a stack machine.`);
    this.limits = { ...defaultStackLimits, ...limits };
    for (const name of ['maxStacks', 'maxBytes'] as const) {
      const limit: unknown = this.limits[name];
      if (typeof limit !== 'number' || !(limit >= 1) || !Number.isSafeInteger(limit)) {
        throw new CordwoodError('BAD_OPTION', `${name} is a whole number of at least 1`);
      }
    }
  }

  /** Number of stacks. */
  get stackCount(): number {
    return this.#table.count;
  }

  /** Bytes that count against `maxBytes`. */
  get bytes(): number {
    return this.#table.bytes;
  }

  counts(): Readonly<Record<string, number>> {
    const counts: Record<string, number> = { stacks: this.#table.count, stack_bytes: this.#table.bytes };
    for (const [name, op] of Object.entries(StackOp)) {
      if (op > StackOp.popMany) continue;
      const text = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      counts[`${text}_total`] = this.#applied[op]!;
    }
    return counts;
  }

  apply(bytes: Uint8Array, start: number, end: number, out: ByteWriter): number {
    const command = this.#command;
    if (!command.parse(bytes, start, end)) return refuse(out, command.problem);
    this.#applied[command.op]!++;
    const stack = this.#table.find(bytes, command.nameStart, command.nameEnd);
    if (stack === undefined) return this.#applyToNone(bytes, out);
    switch (command.op) {
      case StackOp.push: {
        const need = itemBytes(command.valueEnd - command.valueStart);
        if (this.#table.bytes + need > this.limits.maxBytes) return overLimit(out);
        this.#table.touch(stack);
        this.#table.bytes += need;
        stack.push(bytes, command.valueStart, command.valueEnd);
        writeUint(out, stack.size);
        return Status.ok;
      }
      case StackOp.pop: {
        if (stack.size === 0) {
          writeNil(out);
          return Status.empty;
        }
        this.#table.touch(stack);
        const before = stack.bytes;
        stack.pop(out);
        this.#table.bytes += stack.bytes - before;
        return Status.ok;
      }
      case StackOp.create:
        writeNil(out);
        return Status.exists;
      case StackOp.drop:
        writeUint(out, stack.size);
        this.#table.drop(stack);
        return Status.ok;
      case StackOp.pushMany:
        return this.#pushMany(stack, bytes, out);
      case StackOp.popMany:
        return this.#popMany(stack, out);
      default:
        return refuse(out, 'A query, not a command.');
    }
  }

  lookAhead(bytes: Uint8Array, starts: Int32Array, count: number): boolean {
    return this.#table.fetch(bytes, starts, count);
  }

  query(bytes: Uint8Array, start: number, end: number, out: ByteWriter): number {
    const command = this.#command;
    if (!command.parse(bytes, start, end)) return refuse(out, command.problem);
    if (command.op === StackOp.list) return this.#list(bytes, out);
    if (command.op < StackOp.exists) return refuse(out, 'A command, not a query.');
    const stack = this.#table.find(bytes, command.nameStart, command.nameEnd);
    if (stack === undefined) {
      if (!command.nameIsText(bytes)) return refuse(out, 'The name is not UTF-8.');
      if (command.op === StackOp.exists) writeBool(out, false);
      else writeNil(out);
      return Status.notFound;
    }
    if (command.op === StackOp.exists) writeBool(out, true);
    else if (command.op === StackOp.size) writeUint(out, stack.size);
    else if (stack.size > 0) stack.top(out);
    else {
      writeNil(out);
      return Status.empty;
    }
    return Status.ok;
  }

  /** Takes constant time: stacks that change while the view is open are captured as they do, slabs are shared. */
  snapshot(): SnapshotView {
    return new StackSnapshot(this.#table);
  }

  /** The old stacks stay as they are until the new ones are complete. Rejects with `SNAPSHOT_DAMAGED`. */
  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    this.#table = await readStacks(chunks);
  }

  #applyToNone(bytes: Uint8Array, out: ByteWriter): number {
    const { op, nameStart, nameEnd, valueStart, valueEnd, count } = this.#command;
    if (op === StackOp.list || op >= StackOp.exists) return refuse(out, 'A query, not a command.');
    if (!this.#command.nameIsText(bytes)) return refuse(out, 'The name is not UTF-8.');
    if (op !== StackOp.create && op !== StackOp.push && op !== StackOp.pushMany) {
      writeNil(out);
      return Status.notFound;
    }
    let need = stackBytes(nameEnd - nameStart);
    if (op === StackOp.push) need += itemBytes(valueEnd - valueStart);
    else if (op === StackOp.pushMany) need += bytesOfValues(bytes, valueStart, valueEnd, count);
    const table = this.#table;
    if (table.count >= this.limits.maxStacks || table.bytes + need > this.limits.maxBytes)
      return overLimit(out);
    const stack = table.create(bytes, nameStart, nameEnd);
    if (op === StackOp.push) {
      table.bytes += itemBytes(valueEnd - valueStart);
      stack.push(bytes, valueStart, valueEnd);
    } else if (op === StackOp.pushMany) return this.#pushMany(stack, bytes, out);
    if (op === StackOp.create) writeNil(out);
    else writeUint(out, stack.size);
    return Status.ok;
  }

  #pushMany(stack: SlabStack, bytes: Uint8Array, out: ByteWriter): number {
    const { valueStart, valueEnd, count } = this.#command;
    const need = bytesOfValues(bytes, valueStart, valueEnd, count);
    if (this.#table.bytes + need > this.limits.maxBytes) return overLimit(out);
    this.#table.touch(stack);
    this.#table.bytes += need;
    let at = valueStart;
    for (let i = 0; i < count; i++) {
      const after = msgpackEnd(bytes, at, valueEnd, Limits.maxValueDepth);
      stack.push(bytes, at, after);
      at = after;
    }
    writeUint(out, stack.size);
    return Status.ok;
  }

  #popMany(stack: SlabStack, out: ByteWriter): number {
    const wanted = Math.min(this.#command.count, stack.size);
    this.#table.touch(stack);
    const before = stack.bytes;
    const header = out.position;
    const wide = wanted > 15;
    if (wide) writeWideArrayHeader(out, 0);
    else writeArrayHeader(out, 0);
    let popped = 0;
    while (popped < wanted) {
      if (popped > 0 && out.position - header + stack.topLength() > MAX_RESULT_BYTES) break;
      stack.pop(out);
      popped++;
    }
    if (wide) patchWideArrayHeader(out, header, popped);
    else out.buffer[header] = 0x90 | popped;
    this.#table.bytes += stack.bytes - before;
    return Status.ok;
  }

  #list(bytes: Uint8Array, out: ByteWriter): number {
    const command = this.#command;
    const prefix = bytes.subarray(command.nameStart, command.nameEnd);
    const after = bytes.subarray(command.afterStart, command.afterEnd);
    const limit = command.count < 0 ? DEFAULT_LIST_LENGTH : command.count;
    const sorted = this.#table.sorted();
    // First name behind `after` and not before the prefix.
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const name = this.#table.nameOf(sorted[middle]!);
      const skip = Buffer.compare(name, prefix) < 0 || (after.length > 0 && Buffer.compare(name, after) <= 0);
      if (skip) low = middle + 1;
      else high = middle;
    }
    const header = out.position;
    writeWideArrayHeader(out, 0);
    let listed = 0;
    for (let i = low; i < sorted.length && listed < limit; i++) {
      const stack = sorted[i]!;
      const name = this.#table.nameOf(stack);
      if (!startsWith(name, prefix) || out.position - header > MAX_RESULT_BYTES) break;
      writeArrayHeader(out, 2);
      writeStrBytes(out, name, 0, name.length);
      writeUint(out, stack.size);
      listed++;
    }
    patchWideArrayHeader(out, header, listed);
    return Status.ok;
  }
}

function bytesOfValues(bytes: Uint8Array, start: number, end: number, count: number): number {
  let sum = 0;
  let at = start;
  for (let i = 0; i < count; i++) {
    const after = msgpackEnd(bytes, at, end, Limits.maxValueDepth);
    sum += itemBytes(after - at);
    at = after;
  }
  return sum;
}

function startsWith(name: Uint8Array, prefix: Uint8Array): boolean {
  if (name.length < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) if (name[i] !== prefix[i]) return false;
  return true;
}

function refuse(out: ByteWriter, problem: string): number {
  writeText(out, problem);
  return Status.badCommand;
}

function overLimit(out: ByteWriter): number {
  writeText(out, 'The stacks have reached their limit.');
  return Status.limit;
}
