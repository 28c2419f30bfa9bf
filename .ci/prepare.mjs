// Runs as npm's `prepare`: compiles dist/ in a checkout, and steps aside where it cannot or need not.
// A production install (`npm ci --omit=dev`) has no compiler or no types for it, and a packed tarball has no sources.
import { existsSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const project = fileURLToPath(new URL('../tsconfig.build.json', import.meta.url));
const compiler = fileURLToPath(new URL('../node_modules/typescript/lib/tsc.js', import.meta.url));
const nodeTypes = fileURLToPath(new URL('../node_modules/@types/node/package.json', import.meta.url));

if ([project, compiler, nodeTypes].every((path) => existsSync(path))) {
  const result = spawnSync(process.execPath, [compiler, '-p', project], { cwd: root, stdio: 'inherit' });
  if (result.error) throw result.error;
  process.exitCode = result.status ?? 1;
}
