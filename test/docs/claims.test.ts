// What documents point at is there: files, sections, scripts.
import { existsSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { documents, fences, readDocument, ROOT } from './support/fences.ts';
import { ANY_NUMBER, shellCommands } from './support/shell-commands.ts';

/** Anchors of a document's headings, as GitHub makes them. */
function anchors(text: string): Set<string> {
  const headings = [...text.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading]) => heading!);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

t.test('links', async (t) => {
  for (const file of documents()) {
    for (const [, target] of readDocument(file).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target!)) continue;
      const [to, anchor] = target!.split('#') as [string, string?];
      const linked = to === '' ? file : path.posix.join(path.posix.dirname(file), to);
      if (!existsSync(path.join(ROOT, linked))) t.fail(`${file}: ${target} is not there`);
      else if (anchor !== undefined)
        t.ok(anchors(readDocument(linked)).has(anchor), `${file}: there is a section ${target}`);
    }
  }
  t.pass('all files are there');
});

t.test('files that are named', async (t) => {
  const named = /`((?:\.ci|bench|bin|docs|examples|lib|protocol|test)\/[\w./-]+)`/g;
  for (const file of documents()) {
    for (const [, name] of readDocument(file).matchAll(named)) {
      // Tests may be named without the end of their file's name.
      const there = ['', '.test.ts', '.ts'].some((end) => existsSync(path.join(ROOT, name! + end)));
      t.ok(there, `${file}: ${name} is there`);
    }
  }
});

t.test('blocks and commands are found as documents write them', async (t) => {
  const text = 'a\n```sh\nls # x\n```\n- b\n  ```js\n  x();\n    y();\n  ```\n```\ndrawn\n```\n';
  t.same(
    fences('a.md', text).map(({ line, language, code, name }) => [line, language, code, name]),
    [
      [2, 'sh', 'ls # x', 'a.md: ls # x'],
      [6, 'js', 'x();\n  y();', 'a.md: x();'],
      [10, '', 'drawn', 'a.md: drawn'],
    ],
  );
  t.throws(() => fences('a.md', '```sh\nls\n'), /a.md:1/);
  t.same(
    shellCommands(
      [
        '# alone',
        'curl a -d "x # y"  # 201, "1": made',
        'curl b             # 200, the new size',
        'curl c \\',
        '  -d 1             # 204',
        'curl d             # look',
        'cordwood size a    # 2 (or more)',
        'cordwood pop a     # "split logs"',
        'cordwood stop 3    # or kill -9',
      ].join('\n'),
    ),
    [
      { text: 'curl a -d "x # y"', status: 201, prints: '1' },
      { text: 'curl b', status: 200, prints: ANY_NUMBER },
      { text: 'curl c -d 1', status: 204 },
      { text: 'curl d' },
      { text: 'cordwood size a', prints: '2' },
      { text: 'cordwood pop a', prints: 'split logs' },
      { text: 'cordwood stop 3' },
    ],
  );
  t.throws(() => shellCommands('curl a # 200, something else'), /not understood/);
});
