// The declarations that are published: what users of TypeScript see.
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import ts from 'typescript';
import { root } from './root.ts';
import { emitPublishedTypes } from './published-types.ts';

const published = t.testdir();
emitPublishedTypes(published);

const manifest = JSON.parse(readFileSync(path.join(published, 'package.json'), 'utf8')) as {
  exports: Record<string, string | { types: string }>;
};
const entries = new Map(
  Object.entries(manifest.exports).flatMap(([name, target]): [string, string][] =>
    typeof target === 'string' ? [] : [[name, path.join(published, target.types)]],
  ),
);

/** Entries of no use without another one, and which that is. */
const BESIDE = new Map([['./testing', '.']]);

t.test('every type that an entry names can be imported from it', async (t) => {
  const program = ts.createProgram([...entries.values()], {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    types: [],
    noEmit: true,
  });
  const checker = program.getTypeChecker();
  const exportsOf = (name: string): ts.Symbol[] => {
    const entry = checker.getSymbolAtLocation(program.getSourceFile(entries.get(name)!)!)!;
    return checker.getExportsOfModule(entry).map((symbol) => targetOf(checker, symbol));
  };
  for (const name of entries.keys()) {
    const exported = exportsOf(name);
    const other = BESIDE.get(name);
    const importable = new Set([...exported, ...(other === undefined ? [] : exportsOf(other))]);
    const unnamed = new Set<string>();
    for (const symbol of exported) {
      for (const used of namedBy(checker, symbol)) {
        const own = used.declarations?.some((d) => d.getSourceFile().fileName.startsWith(published));
        if (own === true && !importable.has(used)) unnamed.add(`${used.name}, which ${symbol.name} names`);
      }
    }
    t.same([...unnamed], [], `cordwood${name.slice(1)}`);
  }
});

/** What docs and the README ask of a project in TypeScript, and nothing laxer: the declarations are checked as well. */
const STRICT: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  lib: ['lib.es2022.d.ts'],
  types: ['node'],
  typeRoots: [path.join(root, 'node_modules/@types')],
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: false,
  noEmit: true,
};
const RESOLUTIONS = {
  node16: { module: ts.ModuleKind.Node16, moduleResolution: ts.ModuleResolutionKind.Node16 },
  bundler: { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler },
};

t.test('examples in TypeScript compile where the package is installed', async (t) => {
  const project = path.join(published, 'project');
  cpSync(path.join(root, 'examples'), project, { recursive: true });
  writeFileSync(path.join(project, 'package.json'), '{"type":"module"}');
  const everyEntry = [...entries.keys()].map(
    (name) => `export * as ${name.slice(2) || 'main'} from 'cordwood${name.slice(1)}';`,
  );
  writeFileSync(path.join(project, 'entries.ts'), everyEntry.join('\n'));
  mkdirSync(path.join(project, 'node_modules'));
  symlinkSync(published, path.join(project, 'node_modules/cordwood'));
  const files = readdirSync(project).filter((name) => name.endsWith('.ts'));
  t.ok(files.length > 1);
  for (const [name, resolution] of Object.entries(RESOLUTIONS)) {
    const program = ts.createProgram(
      files.map((file) => path.join(project, file)),
      { ...STRICT, ...resolution },
    );
    const faults = ts.getPreEmitDiagnostics(program).map(({ file, messageText }) => {
      const where = file === undefined ? '' : path.relative(published, file.fileName);
      return `${where}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
    });
    t.same(faults, [], name);
  }
});

/** The types that the declarations of a symbol name. */
function namedBy(checker: ts.TypeChecker, symbol: ts.Symbol): Set<ts.Symbol> {
  const found = new Set<ts.Symbol>();
  const visit = (node: ts.Node): void => {
    const name = typeNameIn(node);
    const used = name && checker.getSymbolAtLocation(name);
    if (used && (used.flags & ts.SymbolFlags.TypeParameter) === 0) found.add(targetOf(checker, used));
    ts.forEachChild(node, visit);
  };
  for (const declaration of symbol.declarations ?? []) visit(declaration);
  return found;
}

function typeNameIn(node: ts.Node): ts.Node | undefined {
  if (ts.isTypeReferenceNode(node)) return node.typeName;
  if (ts.isExpressionWithTypeArguments(node)) return node.expression;
  if (ts.isTypeQueryNode(node)) return node.exprName;
  return ts.isImportTypeNode(node) ? node.qualifier : undefined;
}

/** What a re-export or an import stands for. */
function targetOf(checker: ts.TypeChecker, symbol: ts.Symbol): ts.Symbol {
  return (symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol);
}
