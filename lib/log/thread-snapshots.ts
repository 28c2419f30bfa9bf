import { copyBytes } from '../../protocol/byte-writer.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { diskError } from './disk-error.ts';
import type { SnapshotCall, SnapshotReply } from './snapshot-calls.ts';
import type { StoredSnapshot } from './log-store.ts';
import { fromPlainError } from './thread-messages.ts';
import type { FromSnapshotThread, SnapshotThreadTask, ToSnapshotThread } from './thread-messages.ts';
import { WorkerThread } from './worker-thread.ts';

/** A thread has fewer handles than this: those of one that died mean nothing to the next, rather than another file. */
const HANDLES_OF_A_THREAD: number = 2 ** 32;

interface Waiting {
  /** What it makes is the newest snapshot. */
  readonly commits: boolean;
  /** Memory of what the call writes; null: it writes nothing. */
  readonly memory: SharedArrayBuffer | null;
  resolve(reply: SnapshotReply): void;
  reject(error: Error): void;
}

/**
 * The snapshot thread seen from outside. It starts with the first call, as most nodes take no snapshot for a while, or
 * with `warmUp`: starting a thread takes as long as reading a hundred megabytes. One that dies (of too little memory,
 * say) fails the calls it had and takes its open files with it; the next call starts another.
 */
export class SnapshotThread {
  readonly #start: () => WorkerThread;
  #thread: WorkerThread | null = null;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #closed = false;
  #latest: StoredSnapshot | null = null;
  #known = false;
  /** Memory of what has been written, for the next piece. */
  #spare: SharedArrayBuffer | null = null;

  constructor(path: string, owner: number) {
    let firstHandle = 1;
    this.#start = () => {
      const task: Omit<SnapshotThreadTask, 'port'> = { path, owner, firstHandle };
      firstHandle += HANDLES_OF_A_THREAD;
      return new WorkerThread('snapshot-worker', task);
    };
  }

  /** Starts the thread, which is going to be needed. No calls before `recovered`. */
  warmUp(): void {
    this.#running();
  }

  /** The newest snapshot, as recovery has found it. */
  recovered(latest: StoredSnapshot | null): void {
    this.#latest = latest;
    this.#known = true;
    this.#thread?.port.postMessage({ kind: 'latest', latest } satisfies ToSnapshotThread);
  }

  readonly call = (call: SnapshotCall): Promise<SnapshotReply> => {
    if (this.#closed) return Promise.reject(new CordwoodError('CLOSED', 'the log is closed'));
    const thread = this.#running();
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      let sent = call;
      let memory: SharedArrayBuffer | null = null;
      if (call.kind === 'write') {
        const content = this.#copyOf(call.content);
        memory = content.buffer;
        sent = { ...call, content };
      }
      this.#waiting.set(id, { commits: call.kind === 'commit', memory, resolve, reject });
      thread.port.postMessage({ kind: 'call', id, call: sent } satisfies ToSnapshotThread);
    });
  };

  async close(): Promise<void> {
    this.#closed = true;
    const thread = this.#thread;
    if (thread === null) return;
    thread.port.postMessage({ kind: 'close' } satisfies ToSnapshotThread);
    await thread.join();
    this.#fail(new CordwoodError('CLOSED', 'the log is closed'));
  }

  /**
   * In shared memory, since the chunk may change. Not in memory that is transferred: when a thread detaches a buffer for
   * the first time, V8 throws away all code that relied on that never happening, and what it makes then is slower
   * (applying a push by a fifth). New memory for each would cost more than all the rest.
   */
  #copyOf(chunk: Uint8Array): Uint8Array<SharedArrayBuffer> {
    const spare = this.#spare;
    this.#spare = null;
    const fits = spare !== null && spare.byteLength >= chunk.length;
    const copy = new Uint8Array(fits ? spare : new SharedArrayBuffer(chunk.length), 0, chunk.length);
    copyBytes(chunk, 0, chunk.length, copy, 0);
    return copy;
  }

  #running(): WorkerThread {
    if (this.#thread !== null) return this.#thread;
    const thread = (this.#thread = this.#start());
    thread.port.on('message', (message: FromSnapshotThread) => {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.kind === 'reply') {
        this.#spare = waiting?.memory ?? this.#spare;
        // A thread that comes after must not take an older one for the newest: it removes the others.
        if (waiting?.commits === true) this.#noteCommitted(message.reply);
        waiting?.resolve(message.reply);
      } else waiting?.reject(fromPlainError(message.error));
    });
    thread.ended.catch((error: unknown) => {
      if (!this.#closed) {
        this.#thread = null;
        // Stops what is left of its pool; there is nobody to tell of a failure.
        thread.join().catch(() => {});
      }
      this.#fail(diskError(error));
    });
    if (this.#known)
      thread.port.postMessage({ kind: 'latest', latest: this.#latest } satisfies ToSnapshotThread);
    return thread;
  }

  #noteCommitted({ snapshot }: SnapshotReply): void {
    if (snapshot === undefined) return;
    if (this.#latest === null || this.#latest.meta.index <= snapshot.meta.index) this.#latest = snapshot;
  }

  #fail(error: Error): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}
