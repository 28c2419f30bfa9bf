import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { Linter, type Rule } from 'eslint';
import t from 'tap';
import { parser } from 'typescript-eslint';
import { root } from './root.ts';

const ruleFile = pathToFileURL(path.join(root, '.ci', 'eslint-byte-slice.js')).href;
const { byteSlice } = (await import(ruleFile)) as { byteSlice: Rule.RuleModule };

t.test('bytes are not sliced; strings and lists are', async (t) => {
  const code = [
    'export const one = (a: Uint8Array) => a.slice(1);',
    'export const two = (a: Uint8Array<ArrayBuffer> | null) => a?.slice();',
    'export const three = (a: Uint8Array) => a.subarray(1).slice();',
    'export const four = (a: string) => a.slice(1);',
    'export const five = (a: readonly Uint8Array[]) => a.slice(1);',
    'export const six = (a: ArrayBuffer) => a.slice(1);',
  ];
  const directory = t.testdir({
    'sample.ts': code.join('\n'),
    'tsconfig.json': JSON.stringify({ compilerOptions: { lib: ['es2023'], types: [], strict: true } }),
  });
  const linter = new Linter({ cwd: directory });
  const found = linter.verify(
    code.join('\n'),
    {
      files: ['**/*.ts'],
      languageOptions: { parser, parserOptions: { project: './tsconfig.json', tsconfigRootDir: directory } },
      plugins: { cordwood: { rules: { 'byte-slice': byteSlice } } },
      rules: { 'cordwood/byte-slice': 'error' },
    },
    path.join(directory, 'sample.ts'),
  );
  t.same(
    found.map(({ line, ruleId }) => [line, ruleId]),
    [1, 2, 3].map((line) => [line, 'cordwood/byte-slice']),
  );
});
