import { readFileSync } from 'node:fs';

/** The crash table of docs/storage.md: the steps that stand under each operation. */
export function crashTable(): Map<string, Set<string>> {
  const text = readFileSync('docs/storage.md', 'utf8');
  const table = new Map<string, Set<string>>();
  let steps: Set<string> | null = null;
  for (const line of section(text, '## What a crash leaves').split('\n')) {
    const [, first = ''] = line.split('|');
    const operation = /^ \*\*(.+?)\*\*/.exec(first)?.[1];
    if (operation !== undefined) table.set(operation, (steps = new Set()));
    for (const [, step] of first.matchAll(/`([^`]+)`/g)) steps?.add(step!);
  }
  return table;
}

function section(text: string, heading: string): string {
  const start = text.indexOf(`\n${heading}\n`);
  const end = text.indexOf('\n## ', start + heading.length);
  return text.slice(start, end < 0 ? undefined : end);
}
