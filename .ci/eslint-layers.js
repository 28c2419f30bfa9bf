/**
 * The house's layers, as a lint rule. Imports go down this list and never up or sideways:
 *
 *   bin > lib/testing, lib/server > lib/client > lib/node > lib/machine > lib/transport > lib/log > protocol > lib/core
 *
 * - lib/index.ts is the public entry: it may import everything below bin.
 * - Any other file directly in lib/ would be a leaf: everything above lib/core may import it, and it imports only
 *   lib/core and its like.
 * - lib/core imports nothing outside lib/core, not even Node's own modules.
 * - protocol may import only types from lib/core.
 * - Packages: below the front door only those in LIBRARY_PACKAGES. lib/server and bin may use any dependency.
 *
 * Type-only imports and `import()` count like any other import.
 */
import path from 'node:path';

const RANK = new Map([
  ['bin', 9],
  ['lib/testing', 8],
  ['lib/server', 8],
  ['lib/client', 7],
  ['lib/node', 6],
  ['lib/machine', 5],
  ['lib/transport', 4],
  ['lib/log', 3],
  ['protocol', 2],
  ['lib', 1],
  ['lib/core', 0],
]);

const LIBRARY_PACKAGES = new Set(['@msgpack/msgpack', 'piscina']);
const ANY_PACKAGE = new Set(['bin', 'lib/server']);

/** Layer of a path relative to the root, 'entry' for lib/index.ts, undefined outside the layers. */
function layerOf(relative) {
  const parts = relative.split(path.sep);
  if (parts[0] === 'bin' || parts[0] === 'protocol') return parts[0];
  if (parts[0] !== 'lib') return undefined;
  if (parts.length === 2) return /^index\.[jt]s$/.test(parts[1]) ? 'entry' : 'lib';
  return `lib/${parts[1]}`;
}

function packageOf(specifier) {
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0];
}

function checkPackage(from, specifier) {
  if (from === 'lib/core') return `lib/core imports nothing outside lib/core ('${specifier}')`;
  if (specifier.startsWith('node:')) return undefined;
  const name = packageOf(specifier);
  if (name === 'cordwood') return `import '${specifier}' by its relative path`;
  if (ANY_PACKAGE.has(from) || LIBRARY_PACKAGES.has(name)) return undefined;
  return `package '${name}' is for lib/server and bin only, not for ${from}`;
}

function checkLayer(from, to, typeOnly) {
  if (to === undefined) return `${from} must not import from outside bin, lib and protocol`;
  if (from === to) return undefined;
  if (from === 'entry') return to === 'bin' ? 'lib/index.ts must not import bin' : undefined;
  if (from === 'lib/core') return 'lib/core imports nothing outside lib/core';
  if (to === 'entry') {
    return from === 'bin' || from === 'lib/testing'
      ? undefined
      : `${from} must not import the public entry lib/index.ts`;
  }
  if (!RANK.has(to)) return `'${to}' has no layer: name it in .ci/eslint-layers.js`;
  if (RANK.get(to) >= RANK.get(from)) return `${from} must not import ${to}: imports go down the layers only`;
  if (from === 'protocol' && to === 'lib/core' && !typeOnly)
    return 'protocol imports only types from lib/core';
  return undefined;
}

function isTypeOnly(node) {
  if (node.type === 'TSImportType') return true;
  if (node.importKind === 'type' || node.exportKind === 'type') return true;
  const specifiers = node.specifiers ?? [];
  return specifiers.length > 0 && specifiers.every((s) => s.importKind === 'type' || s.exportKind === 'type');
}

/** @type {import('eslint').Rule.RuleModule} */
export const layers = {
  meta: {
    type: 'problem',
    docs: { description: 'Imports go down the layers, never up.' },
    schema: [],
    messages: { layer: '{{ why }}.' },
  },
  create(context) {
    const file = path.relative(context.cwd, context.filename);
    const from = layerOf(file);
    if (from === undefined) return {};

    function check(node, source) {
      const specifier = source?.value;
      if (typeof specifier !== 'string') return;
      let why;
      if (from !== 'entry' && !RANK.has(from)) {
        why = `'${from}' has no layer: name it in .ci/eslint-layers.js`;
      } else if (specifier.startsWith('.')) {
        why = checkLayer(from, layerOf(path.join(path.dirname(file), specifier)), isTypeOnly(node));
      } else {
        why = checkPackage(from, specifier);
      }
      if (why !== undefined) context.report({ node: source, messageId: 'layer', data: { why } });
    }

    return {
      ImportDeclaration: (node) => check(node, node.source),
      ExportNamedDeclaration: (node) => check(node, node.source),
      ExportAllDeclaration: (node) => check(node, node.source),
      ImportExpression: (node) => check(node, node.source),
      TSImportType: (node) => check(node, node.source ?? node.argument?.literal),
    };
  },
};
