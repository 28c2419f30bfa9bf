import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, closeSync, openSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';

const PORT_TIMEOUT_MS = 20_000;
const alive = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

/** Where a program lies; null if it is not installed. */
export function installed(program: string): string | null {
  for (const directory of (process.env['PATH'] ?? '').split(path.delimiter)) {
    const file = path.join(directory, program);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not here.
    }
  }
  return null;
}

/** A server of somebody else's, run for a while. */
export class PeerProcess {
  readonly #child: ChildProcess;
  readonly #log: string;
  readonly #gone: Promise<void>;

  constructor(program: string, args: readonly string[], directory: string, env: NodeJS.ProcessEnv = {}) {
    this.#log = path.join(directory, 'server.log');
    const log = openSync(this.#log, 'a');
    const child = spawn(program, args, {
      cwd: directory,
      stdio: ['ignore', log, log],
      env: { ...process.env, ...env },
    });
    closeSync(log);
    alive.add(child);
    this.#child = child;
    this.#gone = new Promise((resolve) => {
      child.once('error', () => resolve());
      child.once('exit', () => {
        alive.delete(child);
        resolve();
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Waits until something listens on `port`. */
  async listens(port: number): Promise<void> {
    const deadlineMs = Date.now() + PORT_TIMEOUT_MS;
    while (Date.now() < deadlineMs && this.#child.exitCode === null) {
      if (await answers(port)) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(
      `it does not listen on ${port}; its log ends: ${readFileSync(this.#log, 'utf8').slice(-500)}`,
    );
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#gone;
  }

  /** Asks it to stop, and waits until it has. */
  async terminate(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.#gone;
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
