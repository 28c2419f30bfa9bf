import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';
import { byteSlice } from './.ci/eslint-byte-slice.js';
import { layers } from './.ci/eslint-layers.js';

const notInCore = [
  'Date',
  'performance',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'process',
  'console',
  'crypto',
  'globalThis',
];

export default defineConfig(
  globalIgnores([
    '**/node_modules/',
    'dist/',
    'build/',
    '.tap/',
    'coverage/',
    'cordwood-data/',
    'bench/results/',
  ]),
  {
    files: ['**/*.{ts,js,mjs}'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      eqeqeq: 'error',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/restrict-plus-operands': ['error', { allowNumberAndString: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-unnecessary-condition': ['error', { allowConstantLoopConditions: true }],
      '@typescript-eslint/no-empty-function': 'off',
      // One of two that are documented apart is internal: it is not published.
      '@typescript-eslint/unified-signatures': ['error', { ignoreOverloadsWithDifferentJSDoc: true }],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true, requireDefaultForNonUnion: false },
      ],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' },
      ],
    },
  },
  {
    files: ['bin/**/*.ts', 'lib/**/*.ts', 'protocol/**/*.ts'],
    plugins: { cordwood: { rules: { layers, 'byte-slice': byteSlice } } },
    rules: { 'cordwood/layers': 'error', 'cordwood/byte-slice': 'error' },
  },
  {
    files: ['lib/**/*.ts', 'protocol/**/*.ts'],
    rules: { 'no-console': 'error' },
  },
  {
    // The core is pure: time and randomness come in as data.
    files: ['lib/core/**/*.ts'],
    rules: {
      'no-restricted-globals': [
        'error',
        ...notInCore.map((name) => ({ name, message: 'lib/core has no clock, no I/O and no randomness.' })),
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Math', property: 'random', message: 'Randomness comes into lib/core as data.' },
      ],
    },
  },
  {
    // tap's t.test() returns a promise that need not be awaited, and tests look at untyped data.
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-floating-promises': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  {
    // Not part of the TypeScript project: linted without types.
    files: ['**/*.{js,mjs}', 'examples/**/*.ts'],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: { parserOptions: { projectService: false } },
  },
);
