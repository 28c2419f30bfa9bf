/**
 * What someone does who embeds Cordwood: packs this checkout, installs the tarball in an empty project, and runs every
 * example of the README as it stands. Needs npm and its cache (or a registry), and half a minute; so it is no part of
 * `npm test`: `npm run test:embedding`.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const dir = mkdtempSync(path.join(tmpdir(), 'cordwood-embed-'));
t.teardown(() => {
  rmSync(dir, { recursive: true, force: true });
});

function run(
  program: string,
  args: readonly string[],
  cwd: string,
): { code: number | null; out: string; err: string } {
  // A program that does not end by itself is what this looks for.
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: 120_000 });
  return { code: status, out: stdout, err: stderr };
}

/** The blocks of code in one language, in their order. */
function blocks(language: string): string[] {
  const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(
    (match) => match[1]!,
  );
}

// Beyond what tap grants a test by default.
t.setTimeout(300_000);

t.test('from the packed tarball, in an empty project', (t) => {
  const packed = run('npm', ['pack', '--json', '--pack-destination', dir], root);
  t.equal(packed.code, 0, packed.err);
  const tarball = readdirSync(dir).find((name) => name.endsWith('.tgz'))!;
  const project = path.join(dir, 'project');
  mkdirSync(project);
  writeFileSync(
    path.join(project, 'package.json'),
    '{ "name": "empty", "private": true, "type": "module" }\n',
  );
  const args = ['install', '--prefer-offline', '--no-audit', '--no-fund', path.join(dir, tarball)];
  const installed = run('npm', args, project);
  t.equal(installed.code, 0, installed.err);

  const examples = blocks('js').filter((code) => code.includes("from 'cordwood'"));
  t.ok(examples.length >= 2, `${examples.length} examples`);
  for (const [i, code] of examples.entries()) {
    writeFileSync(path.join(project, `example-${i}.js`), code);
    for (const round of ['first', 'second']) {
      const { code: exit, out, err } = run(process.execPath, [`example-${i}.js`], project);
      t.equal(exit, 0, `example ${i}, ${round} run, ends by itself: ${err}`);
      t.equal(err, '', 'nothing is printed unless a logger is given');
      // What the comments promise; a second run of the counter goes on from the first.
      const promised = [...code.matchAll(/console\.log\(.*\/\/ (.*)$/gm)].map((match) => match[1]!);
      if (round === 'first') t.equal(out.trim(), promised.join('\n'));
    }
  }
  const types = `import { Client, RaftNode, StackMachine, type NodeOptions } from 'cordwood';
import { startServer } from 'cordwood/server';
import { Client as Alone } from 'cordwood/client';
import { PROTOCOL_VERSION } from 'cordwood/protocol';
export const options: NodeOptions = { id: 1, cluster: [':1'], dataDir: 'd', machine: new StackMachine() };
export const all: unknown[] = [Client, RaftNode, startServer, Alone, PROTOCOL_VERSION];
`;
  writeFileSync(path.join(project, 'types.ts'), types);
  const compiler = path.join(root, 'node_modules', 'typescript', 'lib', 'tsc.js');
  const flags =
    '--noEmit --strict --module nodenext --target es2023 --lib es2023,esnext.disposable --types node';
  const typeRoots = ['--typeRoots', path.join(root, 'node_modules', '@types')];
  const checked = run(process.execPath, [compiler, ...flags.split(' '), ...typeRoots, 'types.ts'], project);
  t.equal(checked.code, 0, checked.out);
  const help = run('npx', ['--no-install', 'cordwood', '--version'], project);
  t.match(help.out, /^\d+\.\d+\.\d+\n$/);
  t.end();
});
