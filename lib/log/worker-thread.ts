import { MessageChannel } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { Piscina } from 'piscina';

/** The workers' files beside this one, without extension. Their default exports get a task with a port. */
export type WorkerName = 'log-worker' | 'snapshot-worker';

/** Threads that were started before anything was known of their work. */
const ahead = new Map<WorkerName, Piscina>();

/**
 * Starts a thread that is going to be needed: it loads its code while this one does something else. The next
 * `WorkerThread` of that name takes it. One that nobody takes does not keep the process.
 */
export function startAhead(name: WorkerName): void {
  if (!ahead.has(name)) ahead.set(name, newPool(name));
}

/**
 * A thread that serves a port for as long as it is needed: a pool of one with one task that does not end. A task for
 * each fsync would cost half the throughput (measured); this way the pool costs nothing after the start.
 */
export class WorkerThread {
  readonly port: MessagePort;
  readonly #pool: Piscina;
  /** Settles when the task ends: rejects if the thread dies. */
  readonly ended: Promise<void>;
  readonly #portClosed: Promise<unknown>;

  constructor(name: WorkerName, task: object) {
    this.#pool = ahead.get(name) ?? newPool(name);
    ahead.delete(name);
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    this.#portClosed = new Promise((resolve) => {
      port1.once('close', resolve);
    });
    this.ended = this.#pool.run({ ...task, port: port2 }, { transferList: [port2] }) as Promise<void>;
    // Whoever waits for the end hears of a failure; nobody waiting is no reason to end the process.
    this.ended.catch(() => {});
  }

  /** Waits for the task to end, which the caller has asked for, and stops the thread. */
  async join(): Promise<void> {
    try {
      await this.ended;
      // The thread has closed its end: this end closes once everything sent before has been delivered.
      await this.#portClosed;
    } catch {
      // Reported where `ended` is watched.
      this.port.close();
    }
    await this.#pool.destroy();
  }
}

function newPool(name: WorkerName): Piscina {
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
  return new Piscina({
    filename: new URL(`./${name}${extension}`, import.meta.url).href,
    minThreads: 1,
    maxThreads: 1,
    idleTimeout: Infinity,
    atomics: 'disabled',
    recordTiming: false,
  });
}
