import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import './support/plain-start.ts';
import { root } from './root.ts';

interface LockedPackage {
  version?: string;
  dev?: boolean;
  optional?: boolean;
  hasInstallScript?: boolean;
  resolved?: string;
}

interface Manifest {
  type: string;
  engines: { node: string };
  bin: Record<string, string>;
  exports: Record<string, string | { types: string; default: string }>;
  files: string[];
  allowScripts: Record<string, boolean>;
  dependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
}

const readJson = (name: string): unknown => JSON.parse(readFileSync(path.join(root, name), 'utf8'));
const manifest = readJson('package.json') as Manifest;
const lock = readJson('package-lock.json') as { packages: Record<string, LockedPackage> };

t.test('installing compiles nothing', async (t) => {
  for (const [name, entry] of Object.entries(lock.packages)) {
    if (entry.dev === true || entry.hasInstallScript !== true) continue;
    if (name === '') continue; // our own prepare
    t.equal(name, 'node_modules/bufferutil', 'only bufferutil has an install script');
    t.equal(entry.optional, true, 'and it is optional');
  }
  t.equal(manifest.allowScripts['bufferutil'], false, "bufferutil's script is denied");
  t.notOk('bufferutil' in manifest.dependencies);
  t.ok('bufferutil' in manifest.optionalDependencies);
  t.notOk(existsSync(path.join(root, 'binding.gyp')), 'nothing of our own to compile');
});

t.test('the lock names no registry', async (t) => {
  const named = Object.values(lock.packages).filter((entry) => entry.resolved !== undefined);
  t.same(named, []);
});

t.test('every entry point has its source', async (t) => {
  const targets = Object.values(manifest.exports).flatMap((target) =>
    typeof target === 'string' ? [] : [target.types, target.default],
  );
  t.ok(targets.length >= 10);
  for (const target of [...targets, ...Object.values(manifest.bin)]) {
    t.match(target, /^\.\/dist\/(lib|protocol|bin)\/.*\.(js|d\.ts)$/);
    const source = target.replace('./dist/', '').replace(/\.(d\.ts|js)$/, '.ts');
    t.ok(existsSync(path.join(root, source)), `${target} is built from ${source}`);
    const folder = target.split('/').slice(1, 3).join('/');
    t.ok(manifest.files.includes(folder), `${folder} is published`);
  }
  t.equal(manifest.exports['./package.json'], './package.json');
});

t.test('the README leads nowhere outside the tarball', async (t) => {
  const { stdout } = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
  });
  const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }];
  const packed = files.map((file) => file.path);
  const links = [...readFileSync(path.join(root, 'README.md'), 'utf8').matchAll(/\]\(([^)\s#:]+)[^)\s]*\)/g)];
  t.ok(links.length > 15);
  for (const [, target] of links)
    t.ok(
      packed.some((file) => (target!.endsWith('/') ? file.startsWith(target!) : file === target)),
      target!,
    );
});

t.test('types come before code in every export', async (t) => {
  for (const target of Object.values(manifest.exports)) {
    if (typeof target !== 'string') t.same(Object.keys(target), ['types', 'default']);
  }
});

t.test('ESM only, from Node 20.19 on', async (t) => {
  t.equal(manifest.type, 'module');
  t.equal(manifest.engines.node, '>=20.19');
});
