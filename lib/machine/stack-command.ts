import { isUtf8 } from 'node:buffer';
import { Limits, StackOp } from '../../protocol/constants.ts';
import { arrayLength, headerBytes, INVALID, msgpackEnd, readUint, strLength, TRUNCATED } from './msgpack.ts';

/**
 * A command or query of the stack machine, taken apart in place: fields are offsets into the bytes it came in.
 * One instance is used for all of them.
 *
 * ```
 * [op, name]                 create pop drop exists top size
 * [op, name, value]          push
 * [op, name, [value, …]]     pushMany
 * [op, name, n]              popMany
 * [op, prefix?, after?, limit?]   list
 * ```
 */
export class StackCommand {
  op = 0;
  nameStart = 0;
  nameEnd = 0;
  /** push: the value. pushMany: the values, back to back. */
  valueStart = 0;
  valueEnd = 0;
  /** popMany: how many at most. pushMany: how many values. list: how many names at most, or −1. */
  count = 0;
  /** list: the name to go on behind; empty if start and end are equal. */
  afterStart = 0;
  afterEnd = 0;
  /** Why the last `parse` returned false. */
  problem = '';

  /** False: the bytes are no command; `problem` says why. The name's text is checked by `nameIsText`. */
  parse(bytes: Uint8Array, start: number, end: number): boolean {
    let at = start;
    let elements: number;
    // The short forms that every client writes are read here, the others by the general readers.
    if (end - at >= 2 && (bytes[at]! & 0xf0) === 0x90 && bytes[at + 1]! < 0x80) {
      elements = bytes[at]! & 0x0f;
      this.op = bytes[at + 1]!;
      at += 2;
    } else {
      elements = arrayLength(bytes, at, end);
      if (elements < 1) return this.#fail('A command is an array [op, name, …].');
      at += headerBytes(bytes[at]!);
      this.op = readUint(bytes, at, end);
      if (this.op < 0) return this.#fail('The operation is not a number.');
      at = msgpackEnd(bytes, at, end, 0);
    }
    if (this.op === StackOp.list) return this.#parseList(bytes, at, end, elements);

    if (elements < 2) return this.#fail('The name is missing.');
    const tag = at < end ? bytes[at]! : 0;
    if (tag > 0xa0 && tag < 0xc0) {
      at++;
      this.nameStart = at;
      at += tag & 0x1f;
      if (at > end) return this.#fail('The name is cut off.');
      this.nameEnd = at;
    } else {
      const length = strLength(bytes, at, end);
      if (length < 0) return this.#fail('The name is not a string.');
      if (length === 0 || length > Limits.maxStackNameBytes)
        return this.#fail('The name must have 1 to 1024 bytes.');
      at += headerBytes(tag);
      this.nameStart = at;
      at += length;
      this.nameEnd = at;
    }

    switch (this.op) {
      case StackOp.push: {
        if (elements !== 3) return this.#fail('push takes a name and one value.');
        this.valueStart = at;
        this.valueEnd = end;
        const after = msgpackEnd(bytes, at, end, Limits.maxValueDepth);
        return after === end || this.#badValue(after);
      }
      case StackOp.create:
      case StackOp.pop:
      case StackOp.drop:
      case StackOp.exists:
      case StackOp.top:
      case StackOp.size:
        if (elements !== 2) return this.#fail('The operation takes a name and nothing else.');
        return at === end || this.#fail('Bytes behind the command.');
      case StackOp.pushMany:
        if (elements !== 3) return this.#fail('pushMany takes a name and an array of values.');
        return this.#parseValues(bytes, at, end);
      case StackOp.popMany: {
        if (elements !== 3) return this.#fail('popMany takes a name and a number.');
        this.count = readUint(bytes, at, end);
        if (this.count < 0) return this.#fail('popMany takes a number from 0 up.');
        return msgpackEnd(bytes, at, end, 0) === end || this.#fail('Bytes behind the command.');
      }
      default:
        return this.#fail('Unknown operation.');
    }
  }

  /** Whether the name is UTF-8. Only names that are not found need the question: those found are. */
  nameIsText(bytes: Uint8Array): boolean {
    for (let i = this.nameStart; i < this.nameEnd; i++) {
      if (bytes[i]! >= 0x80) return isUtf8(bytes.subarray(this.nameStart, this.nameEnd));
    }
    return true;
  }

  #parseValues(bytes: Uint8Array, at: number, end: number): boolean {
    this.count = arrayLength(bytes, at, end);
    if (this.count < 0) return this.#fail('pushMany takes an array of values.');
    at += headerBytes(bytes[at]!);
    this.valueStart = at;
    this.valueEnd = end;
    if (this.count > end - at) return this.#badValue(TRUNCATED);
    for (let i = 0; i < this.count; i++) {
      at = msgpackEnd(bytes, at, end, Limits.maxValueDepth);
      if (at < 0) return this.#badValue(at);
    }
    return at === end || this.#fail('Bytes behind the command.');
  }

  #parseList(bytes: Uint8Array, at: number, end: number, elements: number): boolean {
    this.nameStart = this.nameEnd = this.afterStart = this.afterEnd = at;
    this.count = -1;
    if (elements > 4) return this.#fail('list takes a prefix, a name to start behind and a limit.');
    for (let i = 1; i < elements; i++) {
      if (at < end && bytes[at] === 0xc0) {
        at++;
        continue;
      }
      if (i === 3) {
        this.count = readUint(bytes, at, end);
        if (this.count < 0) return this.#fail('The limit is not a number from 0 up.');
        at = msgpackEnd(bytes, at, end, 0);
        continue;
      }
      const length = strLength(bytes, at, end);
      if (length < 0 || length > Limits.maxStackNameBytes)
        return this.#fail('Prefix and name are strings or nil.');
      at += headerBytes(bytes[at]!);
      if (i === 1) {
        this.nameStart = at;
        this.nameEnd = at + length;
      } else {
        this.afterStart = at;
        this.afterEnd = at + length;
      }
      at += length;
    }
    return at === end || this.#fail('Bytes behind the command.');
  }

  #badValue(after: number): boolean {
    if (after === INVALID) return this.#fail('The value is not msgpack, or nested too deeply.');
    return this.#fail(after === TRUNCATED ? 'The value is cut off.' : 'Bytes behind the command.');
  }

  #fail(problem: string): boolean {
    this.problem = problem;
    return false;
  }
}
