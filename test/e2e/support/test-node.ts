import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { get } from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NodeStatus } from '../../../lib/node/types.ts';
import '../../support/plain-start.ts';

/** The compiled `cordwood` command beside this compiled file. */
export const PROGRAM: string = fileURLToPath(new URL('../../../bin/cordwood.js', import.meta.url));

const STATUS_TIMEOUT_MS = 500;
const LOG_TAIL_BYTES = 8192;

export interface NodeSpec {
  readonly id: number;
  readonly clientPort: number;
  readonly peerPort: number;
  /** Peer addresses of all nodes, as `--cluster` takes them. */
  readonly cluster: string;
  /** Directory of the cluster: data and log of each node lie in it. */
  readonly dir: string;
  readonly args: readonly string[];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const running = new Set<ChildProcess>();
// A test that ends badly leaves no process behind. A frozen one takes only this signal.
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** One node of a cluster under test: a real process, which can be treated badly. */
export class TestNode {
  readonly id: number;
  readonly address: string;
  readonly url: string;
  readonly dataDir: string;
  readonly logFile: string;
  frozen = false;
  /** It serves, and takes signals in an orderly way. */
  ready = false;
  readonly #spec: NodeSpec;
  #child: ChildProcess | null = null;
  #exited: Promise<Exit> = Promise.resolve({ code: null, signal: null });

  constructor(spec: NodeSpec) {
    this.#spec = spec;
    this.id = spec.id;
    this.address = `127.0.0.1:${spec.clientPort}`;
    this.url = `http://${this.address}`;
    this.dataDir = path.join(spec.dir, String(spec.id));
    this.logFile = path.join(spec.dir, `${spec.id}.log`);
  }

  get clientPort(): number {
    return this.#spec.clientPort;
  }

  get peerPort(): number {
    return this.#spec.peerPort;
  }

  get alive(): boolean {
    return this.#child !== null;
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error(`node ${this.id} does not run`);
    return this.#child.pid;
  }

  /** Starts the process; `status` tells when it serves. */
  start(): void {
    if (this.#child !== null) throw new Error(`node ${this.id} runs already`);
    const { id, cluster, clientPort, args } = this.#spec;
    const own = ['--id', String(id), '--cluster', cluster, '--port', String(clientPort)];
    const log = openSync(this.logFile, 'a');
    // The channel is a lifeline: a node whose test process is gone stops by itself.
    const child = spawn(process.execPath, [PROGRAM, ...own, '--data', this.dataDir, ...args], {
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    running.add(child);
    this.ready = false;
    child.on('message', (message: { readonly type: string }) => {
      if (message.type === 'ready') this.ready = true;
    });
    this.#child = child;
    this.frozen = false;
    this.#exited = new Promise((resolve) => {
      child.on('exit', (code, signal) => {
        running.delete(child);
        if (this.#child === child) this.#child = null;
        resolve({ code, signal });
      });
    });
  }

  /** Resolves with the end of the process that was started last. */
  get exited(): Promise<Exit> {
    return this.#exited;
  }

  /** kill -9. Resolves when the process is gone. */
  kill(): Promise<Exit> {
    return this.signal('SIGKILL');
  }

  /** Resolves when the process is gone. */
  signal(signal: NodeJS.Signals): Promise<Exit> {
    this.#child?.kill(signal);
    return this.#exited;
  }

  freeze(): void {
    this.frozen = true;
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.frozen = false;
    this.#child?.kill('SIGCONT');
  }

  /** What the node says of itself; null if it does not answer. */
  status(): Promise<NodeStatus | null> {
    if (!this.alive || this.frozen) return Promise.resolve(null);
    return new Promise((resolve) => {
      const request = get(
        `${this.url}/v1/status`,
        { agent: false, timeout: STATUS_TIMEOUT_MS },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => (text += chunk));
          response.on('end', () => {
            resolve(response.statusCode === 200 ? (JSON.parse(text) as NodeStatus) : null);
          });
          response.on('error', () => {
            resolve(null);
          });
        },
      );
      request.on('timeout', () => request.destroy());
      request.on('error', () => {
        resolve(null);
      });
    });
  }

  /** Resident memory in bytes; 0 where /proc is not there. */
  async rssBytes(): Promise<number> {
    if (!existsSync('/proc/self/status')) return 0;
    const text = await readFile(`/proc/${this.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(text)?.[1] ?? 0) * 1024;
  }

  /** The end of what it wrote to stdout and stderr. */
  logTail(): string {
    if (!existsSync(this.logFile)) return '';
    return readFileSync(this.logFile, 'utf8').slice(-LOG_TAIL_BYTES);
  }
}
