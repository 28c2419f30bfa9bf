import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** A fenced block of a Markdown file. */
export interface Fence {
  /** Path from the package's root, with slashes. */
  readonly file: string;
  /** Of the opening fence, from 1. */
  readonly line: number;
  /** The word behind the opening fence; empty for drawings. */
  readonly language: string;
  readonly code: string;
  /** Names the block in lists: its file and its first line. */
  readonly name: string;
}

/** The package's root, from the sources as from build/. */
function findRoot(from: string): string {
  return existsSync(path.join(from, 'package.json')) ? from : findRoot(path.dirname(from));
}
export const ROOT: string = findRoot(import.meta.dirname);

/** Folders that hold no documents of ours. */
const PASSED_OVER = new Set([
  'node_modules',
  'build',
  'dist',
  'coverage',
  'cordwood-data',
  'test',
  'results',
]);

/** All Markdown files of the package. */
export function documents(folder = ''): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(path.join(ROOT, folder), { withFileTypes: true })) {
    const file = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.name.startsWith('.') || PASSED_OVER.has(entry.name)) continue;
    if (entry.isDirectory()) found.push(...documents(file));
    else if (entry.name.endsWith('.md')) found.push(file);
  }
  return found.sort();
}

export function readDocument(file: string): string {
  return readFileSync(path.join(ROOT, file), 'utf8');
}

/** The blocks of a document, in order. A fence that is not closed is an error. */
export function fences(file: string, text: string = readDocument(file)): Fence[] {
  const found: Fence[] = [];
  const lines = text.split('\n');
  for (let at = 0; at < lines.length; at++) {
    const open = /^( *)(`{3,})(\w*)\s*$/.exec(lines[at]!);
    if (open === null) continue;
    const [, indent, ticks, language] = open as unknown as [string, string, string, string];
    const end = lines.findIndex((line, i) => i > at && line.trim() === ticks);
    if (end < 0) throw new Error(`${file}:${at + 1}: a fence that is not closed`);
    const code = lines.slice(at + 1, end).map((line) => line.slice(indent.length));
    found.push({
      file,
      line: at + 1,
      language,
      code: code.join('\n'),
      name: `${file}: ${code[0] ?? ''}`,
    });
    at = end;
  }
  return found;
}
