import path from 'node:path';

/** How this command was called, so that what is printed can be pasted. */
export function ownCommand(): string {
  const script = process.argv[1] ?? 'cordwood';
  if (path.basename(script) === 'cordwood') return 'cordwood';
  const near = path.relative(process.cwd(), script);
  return `node ${near.startsWith('..') ? script : near}`;
}
