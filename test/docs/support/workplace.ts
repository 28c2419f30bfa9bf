import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Test } from 'tap';
import { run, start } from '../../e2e/support/run-command.ts';
import type { Finished, Running } from '../../e2e/support/run-command.ts';
import { PROGRAM } from '../../e2e/support/test-node.ts';
import { ROOT } from './fences.ts';

const BUILD = path.resolve(import.meta.dirname, '../../..');

/**
 * An empty directory with the compiled package installed in it, as a reader of the documents has after
 * `npm install cordwood`: `cordwood` and `npx cordwood` are commands, `import 'cordwood'` finds the package.
 */
export class Workplace {
  readonly dir: string;
  readonly #env: NodeJS.ProcessEnv;

  private constructor(dir: string, env: NodeJS.ProcessEnv) {
    this.dir = dir;
    this.#env = env;
  }

  /** @param env added to this process's environment */
  static async open(t: Test, env: Readonly<Record<string, string>> = {}): Promise<Workplace> {
    // Not below the package: its own node_modules must not be found.
    const base = mkdtempSync(path.join(tmpdir(), 'cordwood-docs-'));
    t.teardown(() => rmSync(base, { recursive: true, force: true }));
    const dir = path.join(base, 'work');
    const modules = path.join(dir, 'node_modules', 'cordwood');
    mkdirSync(modules, { recursive: true });
    copyFileSync(path.join(ROOT, 'package.json'), path.join(modules, 'package.json'));
    symlinkSync(BUILD, path.join(modules, 'dist'));

    const bin = path.join(base, 'bin');
    mkdirSync(bin);
    const self = `exec '${process.execPath}' '${PROGRAM}' "$@"`;
    writeScript(path.join(bin, 'cordwood'), self);
    writeScript(
      path.join(bin, 'npx'),
      `[ "$1" = cordwood ] || { echo "npx $1: not in a test" >&2; exit 97; }\nshift\n${self}`,
    );
    if ((await run('curl', ['--version'])).code === null) {
      const standIn = path.join(import.meta.dirname, 'curl.js');
      writeScript(path.join(bin, 'curl'), `exec '${process.execPath}' '${standIn}' "$@"`);
    }
    const { CORDWOOD_ADDR: _, ...inherited } = process.env;
    const search = `${bin}${path.delimiter}${inherited['PATH'] ?? ''}`;
    return new Workplace(dir, { ...inherited, NO_COLOR: '1', ...env, PATH: search });
  }

  /** Runs one line of a shell to its end. */
  shell(line: string): Promise<Finished> {
    return this.#finish('bash', ['-o', 'pipefail', '-c', line]);
  }

  /** Runs a module to its end, which must come by itself. */
  module(code: string, args: readonly string[] = []): Promise<Finished> {
    return this.#finish(process.execPath, [this.#write(code), ...args]);
  }

  /** Starts a command that does not end. */
  start(line: string): Running {
    return start('bash', ['-c', `exec ${line}`], { cwd: this.dir, env: this.#env });
  }

  /** Starts a module that does not end. */
  startModule(code: string, args: readonly string[] = []): Running {
    return start(process.execPath, [this.#write(code), ...args], { cwd: this.dir, env: this.#env });
  }

  #finish(program: string, args: readonly string[]): Promise<Finished> {
    const { child, finished } = start(program, args, { cwd: this.dir, env: this.#env });
    child.stdin!.end();
    return finished;
  }

  #write(code: string): string {
    const file = path.join(this.dir, 'program.js');
    writeFileSync(file, code);
    return file;
  }
}

function writeScript(file: string, body: string): void {
  writeFileSync(file, `#!/bin/sh\n${body}\n`);
  chmodSync(file, 0o755);
}
