import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { Linter, type Rule } from 'eslint';
import t from 'tap';
import { parser } from 'typescript-eslint';
import { root } from './root.ts';

const ruleFile = pathToFileURL(path.join(root, '.ci', 'eslint-layers.js')).href;
const { layers } = (await import(ruleFile)) as { layers: Rule.RuleModule };

const linter = new Linter({ cwd: root });
const config: Linter.Config = {
  files: ['**/*.ts'],
  languageOptions: { parser: parser },
  plugins: { cordwood: { rules: { layers } } },
  rules: { 'cordwood/layers': 'error' },
};

function complaints(file: string, code: string): string[] {
  return linter.verify(code, config, path.join(root, file)).map((message) => message.message);
}

const allowed: [file: string, code: string][] = [
  ['lib/core/election.ts', "import { a } from './quorum.ts';"],
  ['lib/log/segment.ts', "import fs from 'node:fs'; import type { Index } from '../core/types.ts';"],
  [
    'lib/node/driver.ts',
    "import { a } from '../log/segment.ts'; import { b } from '../../protocol/index.ts';",
  ],
  ['lib/node/driver.ts', "import { a } from '../errors.ts'; import { Piscina } from 'piscina';"],
  ['lib/server/http.ts', "import { Hono } from 'hono'; import { a } from '../client/client.ts';"],
  ['protocol/codec.ts', "import type { Index } from '../lib/core/types.ts';"],
  ['lib/index.ts', "export * from './server/index.ts'; export type { A } from './core/types.ts';"],
  ['bin/cordwood.ts', "import { Command } from 'commander'; await import('../lib/server/index.ts');"],
  ['test/anything.test.ts', "import { a } from '../lib/core/types.ts'; import '../bin/cordwood.ts';"],
];

const forbidden: [file: string, code: string][] = [
  ['lib/core/election.ts', "import fs from 'node:fs';"],
  ['lib/core/election.ts', "import type { A } from '../../protocol/index.ts';"],
  ['lib/core/election.ts', "import { a } from '../errors.ts';"],
  ['lib/core/election.ts', "type A = import('../node/types.ts').A;"],
  ['lib/log/segment.ts', "import type { A } from '../transport/transport.ts';"],
  ['lib/log/segment.ts', "export { a } from '../machine/state-machine.ts';"],
  ['lib/node/driver.ts', "await import('../server/index.ts');"],
  ['lib/node/driver.ts', "import { pino } from 'pino';"],
  ['lib/node/driver.ts', "import { a } from 'cordwood/client';"],
  ['lib/node/driver.ts', "import { a } from '../index.ts';"],
  ['lib/server/http.ts', "import { a } from '../testing/index.ts';"],
  ['lib/index.ts', "import '../bin/cordwood.ts';"],
  ['lib/client/client.ts', "import { a } from '../../test/helper.ts';"],
  ['lib/unheard/of.ts', "import { a } from '../core/types.ts';"],
  ['protocol/codec.ts', "import { a } from '../lib/core/types.ts';"],
];

t.test('imports that go down are fine', async (t) => {
  for (const [file, code] of allowed) t.same(complaints(file, code), [], `${file}: ${code}`);
});

t.test('imports that go up are errors', async (t) => {
  for (const [file, code] of forbidden) t.equal(complaints(file, code).length, 1, `${file}: ${code}`);
});
