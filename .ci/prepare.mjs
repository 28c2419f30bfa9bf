// Runs as npm's `prepare`: compiles dist/ in a checkout, and steps aside where it cannot or need not.
// A packed tarball has no such files. A production install (`npm ci --omit=dev`) lacks the types that checking
// needs; where a compiler came along with another package, dist/ is made without checking, so that the checkout runs.
import { existsSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const compiler = at('node_modules/typescript/lib/tsc.js');
const canCheck = existsSync(at('node_modules/@types/node/package.json'));
const project = at(canCheck ? 'tsconfig.build.json' : '.ci/tsconfig.unchecked.json');

if (existsSync(project) && existsSync(compiler)) {
  const result = spawnSync(process.execPath, [compiler, '-p', project], { cwd: at('.'), stdio: 'inherit' });
  if (result.error) throw result.error;
  process.exitCode = result.status ?? 1;
}
