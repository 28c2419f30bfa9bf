// docs/commands.md holds the help of every command as it is, and no document names an option that does not exist.
// UPDATE_DOCS=1 writes the page anew.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { run } from '../e2e/support/run-command.ts';
import { PROGRAM } from '../e2e/support/test-node.ts';
import { documents, fences, readDocument, ROOT } from './support/fences.ts';
import { shellCommands } from './support/shell-commands.ts';

const FILE = 'docs/commands.md';
/** These name options of tests and benchmarks. */
const OF_OTHER_PROGRAMS = new Map([
  ['docs/performance.md', 'bench'],
  ['docs/testing.md', 'test'],
]);
/** What this page says before the help begins. */
const HELP_BEGINS = '\n## cordwood\n';

interface Page {
  /** With the words that lead to it: `cordwood member add`. */
  readonly command: string;
  readonly help: string;
  readonly options: ReadonlySet<string>;
}

/** The help of a command and of all below it. */
async function pages(words: readonly string[] = []): Promise<Page[]> {
  const { stdout, code, stderr } = await run(process.execPath, [PROGRAM, ...words, '--help']);
  if (code !== 0) throw new Error(`cordwood ${words.join(' ')} --help: ${stderr}`);
  const help = stdout.trimEnd();
  const below = /\nCommands:\n((?: .*\n?)+)/.exec(`${help}\n`)?.[1] ?? '';
  const names = [...below.matchAll(/^ {2}([a-z]+)/gm)].map(([, name]) => name!);
  const children: Page[] = [];
  for (const name of names) if (name !== 'help') children.push(...(await pages([...words, name])));
  const options = new Set([...help.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, option]) => option!));
  return [{ command: ['cordwood', ...words].join(' '), help, options }, ...children];
}

const all = await pages();

t.test('the page has the help of every command', async (t) => {
  const sections = all.map(({ command, help }) => `## ${command}\n\n\`\`\`\n${help}\n\`\`\`\n`);
  const text = readDocument(FILE);
  const head = text.slice(0, text.indexOf(HELP_BEGINS) + 1);
  const now = `${head}${sections.join('\n')}`;
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(path.join(ROOT, FILE), now);
  else t.equal(text, now, `UPDATE_DOCS=1 writes ${FILE} anew`);
});

t.test('commands in documents have the options that they are given', async (t) => {
  for (const file of documents()) {
    for (const block of fences(file)) {
      if (!['sh', 'bash', 'shell'].includes(block.language)) continue;
      for (const { text } of shellCommands(block.code)) check(t, `${file}:${block.line}`, text);
    }
    for (const [, code] of readDocument(file).matchAll(/`((?:npx )?cordwood [^`]+)`/g)) check(t, file, code!);
  }
});

t.test('options that documents name alone are those of some command', async (t) => {
  const known = new Set(all.flatMap(({ options }) => [...options]));
  for (const file of documents()) {
    if (file === FILE) continue;
    const others = sourceText(OF_OTHER_PROGRAMS.get(file));
    for (const [, option] of readDocument(file).matchAll(/`(--[a-z][\w-]*)[^`\n]*`/g))
      t.ok(known.has(option!) || others.includes(option!), `${file}: ${option}`);
  }
});

/** What is written in the files of a folder, for programs that say in their own text which options they take. */
function sourceText(folder: string | undefined): string {
  if (folder === undefined) return '';
  return readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => readFileSync(path.join(ROOT, folder, file), 'utf8'))
    .join('\n');
}

/** Each `cordwood …` of a line: its options are those of the longest command that its words name. */
function check(t: { ok(ok: unknown, what: string): void }, where: string, line: string): void {
  for (const [, rest] of line.matchAll(/(?:^|[|;&] *)(?:npx )?cordwood ([^|;&]*)/g)) {
    const words = ['cordwood', ...rest!.trim().split(/\s+/)];
    const given =
      words[1]!.startsWith('-') && words[1] !== '--help' ? ['cordwood', 'start', ...words.slice(1)] : words;
    const page = all
      .filter(({ command }) => `${given.join(' ')} `.startsWith(`${command} `))
      .sort((a, b) => b.command.length - a.command.length)[0]!;
    const named = /^[a-z]+$/.test(given[1]!)
      ? all.some(({ command }) => command === `cordwood ${given[1]}`)
      : true;
    t.ok(named, `${where}: ${given.slice(0, 2).join(' ')}`);
    for (const word of given) {
      const option = /^(--[a-z][\w-]*)/.exec(word)?.[1];
      if (option !== undefined) t.ok(page.options.has(option), `${where}: ${page.command} ${option}`);
    }
  }
}
