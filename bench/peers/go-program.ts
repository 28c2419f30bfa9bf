import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { installed } from './peer-process.ts';

/** Where Debian's packages put Go sources. */
const GO_SOURCES = '/usr/share/gocode';

/** Whether a program can be built that imports `packages`. */
export function canBuildGo(...packages: readonly string[]): boolean {
  return installed('go') !== null && packages.every((name) => existsSync(path.join(GO_SOURCES, 'src', name)));
}

/** Builds `bench/peers/<name>.go` into `directory` and returns where the program lies. */
export function buildGo(name: string, directory: string): string {
  const program = path.join(directory, name);
  // From dist/bench/peers the source lies in the checkout.
  const source = fileURLToPath(new URL(`../../../bench/peers/${name}.go`, import.meta.url));
  execFileSync(installed('go') ?? 'go', ['build', '-o', program, source], {
    env: {
      ...process.env,
      GO111MODULE: 'off',
      GOPATH: GO_SOURCES,
      GOFLAGS: '',
      GOCACHE: path.join(directory, 'go'),
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return program;
}
