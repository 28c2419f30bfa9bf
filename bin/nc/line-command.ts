import { isUtf8 } from 'node:buffer';

/** A line of `cordwood nc`, taken apart. */
export type LineCommand =
  | { readonly op: 'push'; readonly name: string; readonly value: string | Uint8Array }
  | { readonly op: 'pop' | 'create' | 'drop'; readonly name: string }
  | { readonly op: 'top' | 'size' | 'exists'; readonly name: string }
  | { readonly op: 'list'; readonly prefix: string }
  | { readonly op: 'status' | 'help' | 'quit' };

const NAMED: ReadonlySet<string> = new Set(['pop', 'create', 'drop', 'top', 'size', 'exists']);

/** Takes a line without its line break apart. A string: what is wrong with it. Null: nothing on it. */
export function parseLine(line: Uint8Array): LineCommand | string | null {
  const end = line.at(-1) === 0x0d ? line.length - 1 : line.length;
  const bytes = Buffer.from(line.buffer, line.byteOffset, end);
  const space = bytes.indexOf(0x20);
  const op = (space === -1 ? bytes : bytes.subarray(0, space)).toString('latin1').toLowerCase();
  if (op === '' && bytes.every((byte) => byte === 0x20)) return null;
  const rest = space === -1 ? bytes.subarray(end) : bytes.subarray(space + 1);
  if (op === 'push') return parsePush(rest);
  if (NAMED.has(op)) {
    const name = parseName(rest);
    if (typeof name === 'string') return name;
    if (name.end < rest.length) return `${op} takes a name and nothing else`;
    return { op: op as 'pop', name: name.text };
  }
  if (op === 'list') {
    if (rest.length === 0) return { op, prefix: '' };
    const prefix = parseName(rest);
    if (typeof prefix === 'string') return prefix;
    if (prefix.end < rest.length) return 'list takes the beginning of a name and nothing else';
    return { op, prefix: prefix.text };
  }
  if (op === 'status' || op === 'help' || op === 'quit') return { op };
  return `unknown command ${JSON.stringify(op.slice(0, 40))}; try help`;
}

function parsePush(rest: Buffer): LineCommand | string {
  const name = parseName(rest);
  if (typeof name === 'string') return name;
  if (name.end === rest.length) return 'push takes a name and a value';
  const value = rest.subarray(name.end + 1);
  return { op: 'push', name: name.text, value: isUtf8(value) ? value.toString('utf8') : value };
}

/** The name at the beginning of `rest`, up to a space or as a JSON string, and where it ends. A string: an error. */
function parseName(rest: Buffer): { readonly text: string; readonly end: number } | string {
  let end = rest.indexOf(0x20);
  if (end === -1) end = rest.length;
  if (rest[0] === 0x22) {
    end = 1;
    while (end < rest.length && rest[end] !== 0x22) end += rest[end] === 0x5c ? 2 : 1;
    end = Math.min(end + 1, rest.length);
    if (end < rest.length && rest[end] !== 0x20) return 'a space is missing behind the name';
  }
  const raw = rest.subarray(0, end);
  if (raw.length === 0) return 'the name is missing';
  if (!isUtf8(raw)) return 'the name is not UTF-8';
  const text = raw.toString('utf8');
  if (raw[0] !== 0x22) return { text, end };
  try {
    return { text: JSON.parse(text) as string, end };
  } catch {
    return 'the name in quotes is not a JSON string';
  }
}
