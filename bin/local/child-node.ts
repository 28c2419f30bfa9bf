import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, renameSync, statSync } from 'node:fs';
import path from 'node:path';
import type { NodeStatus } from '../../lib/node/types.ts';
import type { LocalNode } from './layout.ts';
import type { FromNode, NodeReport, ToNode } from './messages.ts';

export interface ChildEvents {
  /** It serves, or has learned of another leader. */
  onLeader(node: ChildNode, leader: number | null, term: number): void;
  /** Its process has ended without being asked to. */
  onDeath(node: ChildNode): void;
}

export interface ChildSpec {
  readonly place: LocalNode;
  /** Program and arguments that run this node. */
  readonly command: readonly string[];
  readonly logFile: string;
}

/** A log that grew beyond this is set aside (one older one is kept) when the node starts. */
const MAX_LOG_BYTES = 8 << 20;
/** A node that does not answer for so long is frozen, or near it. */
const STATUS_TIMEOUT_MS = 1_000;
/** Longer than a node takes to stop that has a lot to write. */
const STOP_TIMEOUT_MS = 15_000;

/** One node of a local cluster: a process of its own, started and stopped as often as wanted. */
export class ChildNode {
  readonly place: LocalNode;
  readonly #spec: ChildSpec;
  readonly #events: ChildEvents;
  #process: ChildProcess | null = null;
  #state: NodeReport['state'] = 'down';
  #note = 'not started';
  #failure = '';
  #seq = 0;
  #exited: Promise<void> = Promise.resolve();
  readonly #waiting = new Map<number, (status: NodeStatus | null) => void>();

  constructor(spec: ChildSpec, events: ChildEvents) {
    this.place = spec.place;
    this.#spec = spec;
    this.#events = events;
  }

  get running(): boolean {
    return this.#process !== null;
  }

  get pid(): number | null {
    return this.#process?.pid ?? null;
  }

  /** How it ended. */
  get note(): string {
    return this.#note;
  }

  /** Resolves when it serves clients; rejects with a one-line reason if it ends before that. */
  start(): Promise<void> {
    if (this.#process !== null) return Promise.reject(new Error(`node ${this.place.id} runs already`));
    const [program, ...args] = this.#spec.command;
    const log = openLog(this.#spec.logFile);
    // A process group of its own: Ctrl-C in the terminal reaches the supervisor alone, which then stops the nodes.
    const child = spawn(program!, args, { stdio: ['ignore', log, log, 'ipc'], detached: true });
    closeSync(log);
    this.#process = child;
    this.#state = 'starting';
    this.#failure = '';
    return new Promise((resolve, reject) => {
      this.#exited = new Promise((gone) => {
        let ended = false;
        const onEnd = (how: string): void => {
          if (ended) return;
          ended = true;
          const asked = this.#state === 'stopping';
          this.#process = null;
          this.#state = 'down';
          this.#note = asked ? 'stopped' : this.#failure || how;
          for (const settle of this.#waiting.values()) settle(null);
          this.#waiting.clear();
          reject(new Error(`node ${this.place.id}: ${this.#note} (log: ${this.#spec.logFile})`));
          if (!asked) this.#events.onDeath(this);
          gone();
        };
        child.on('exit', (code, signal) =>
          onEnd(signal === null ? `exited with status ${code}` : `killed by ${signal}`),
        );
        child.on('error', (error) => {
          if (child.pid === undefined) onEnd(error.message);
        });
      });
      child.on('message', (message: FromNode) => {
        if (message.type === 'ready') {
          if (this.#state === 'starting') this.#state = 'up';
          resolve();
        } else if (message.type === 'leader') this.#events.onLeader(this, message.leader, message.term);
        else if (message.type === 'failed') this.#failure = message.message;
        else this.#waiting.get(message.seq)?.(message.status);
      });
    });
  }

  /** Stops it in an orderly way, and if it does not follow, at once. */
  async stop(transfer: boolean): Promise<void> {
    if (this.#process === null) return;
    const child = this.#process;
    this.#state = 'stopping';
    this.#send({ type: 'stop', transfer });
    const force = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await this.#exited;
    clearTimeout(force);
  }

  /** Ends it where it stands. */
  kill(): void {
    if (this.#process === null) return;
    this.#state = 'stopping';
    this.#process.kill('SIGKILL');
  }

  async report(): Promise<NodeReport> {
    const { id, clientAddress, peerAddress } = this.place;
    const status = this.#state === 'up' ? await this.#askStatus() : null;
    const state = this.#state === 'up' && status === null ? 'silent' : this.#state;
    const note = this.#state === 'down' ? this.#note : '';
    return { id, state, pid: this.pid, clientAddress, peerAddress, status, note };
  }

  #askStatus(): Promise<NodeStatus | null> {
    const seq = ++this.#seq;
    return new Promise((resolve) => {
      const settle = (status: NodeStatus | null): void => {
        clearTimeout(timer);
        this.#waiting.delete(seq);
        resolve(status);
      };
      const timer = setTimeout(() => settle(null), STATUS_TIMEOUT_MS);
      this.#waiting.set(seq, settle);
      this.#send({ type: 'status', seq });
    });
  }

  #send(message: ToNode): void {
    // A channel that is closing belongs to a process that is ending, which 'exit' reports.
    if (this.#process?.connected === true) this.#process.send(message, () => {});
  }
}

function openLog(file: string): number {
  mkdirSync(path.dirname(file), { recursive: true });
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size > MAX_LOG_BYTES) renameSync(file, `${file}.old`);
  return openSync(file, 'a', 0o600);
}
