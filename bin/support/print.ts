import { arrayItems, jsonOf, scalarOf } from '../../lib/server/value-text.ts';
import type { Taken } from '../../lib/server/stack-calls.ts';
import { NegativeAnswer, oneLine } from './exit-codes.ts';

interface Form {
  readonly json?: boolean;
  readonly raw?: boolean;
}

const NEWLINE = Buffer.from('\n');

export function printLine(text: string | number): void {
  process.stdout.write(`${text}\n`);
}

/** A value as text shows it: strings and bytes as they are, anything else as JSON. */
export function valueBytes(value: Uint8Array): Uint8Array {
  const { type, bytes } = scalarOf(value);
  return type === 'other' ? Buffer.from(jsonOf(value)) : bytes;
}

/** Prints what a pop or a top gave. Throws `NegativeAnswer` if that was nothing. */
export function printTaken(name: string, taken: Taken, form: Form): void {
  const value = requireStack(name, taken);
  if (value === 'empty') throw new NegativeAnswer('EMPTY', `the stack ${quoted(name)} is empty`);
  if (form.json === true) printLine(`{"value":${jsonOf(value)}}`);
  else
    process.stdout.write(form.raw === true ? valueBytes(value) : Buffer.concat([valueBytes(value), NEWLINE]));
}

/** Prints a msgpack array of values, one on each line. */
export function printMany(name: string, values: Uint8Array, form: Form): void {
  const items = arrayItems(values);
  if (form.json === true) printLine(`{"values":${jsonOf(values)}}`);
  else process.stdout.write(Buffer.concat(items.flatMap((item) => [valueBytes(item), NEWLINE])));
  if (items.length === 0) throw new NegativeAnswer('EMPTY', `the stack ${quoted(name)} is empty`);
}

export function printStacks(stacks: readonly { name: string; size: number }[], form: Form): void {
  if (form.json === true) printLine(JSON.stringify({ stacks }));
  else process.stdout.write(stacks.map(({ name, size }) => `${size}\t${oneLine(name)}\n`).join(''));
}

/** Throws `NegativeAnswer` for a stack that is not there. */
export function requireStack<T>(name: string, answer: T | 'notFound'): T {
  if (answer === 'notFound') throw new NegativeAnswer('NOT_FOUND', `there is no stack ${quoted(name)}`);
  return answer;
}

function quoted(name: string): string {
  return oneLine(JSON.stringify(name));
}
