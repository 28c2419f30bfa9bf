import { copyBytes } from '../../protocol/byte-writer.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import type { Index } from '../core/types.ts';
import { diskError } from './disk-error.ts';
import type { LogSizes } from './log-options.ts';
import type { LogEvents, LogSlice, LogStats, LogStore, LogWrite, Recovery } from './log-store.ts';
import { LOG_DIRECTORY, SNAPSHOT_DIRECTORY } from './open-log-files.ts';
import { readableBytes } from './recovery-progress.ts';
import type { RecoveryProgress } from './recovery-progress.ts';
import { SharedBuffers } from './shared-buffers.ts';
import { RemoteSnapshots } from './snapshot-calls.ts';
import { encodeAppend, fromPlainError } from './thread-messages.ts';
import { RingWriter, ringMemory } from './thread-ring.ts';
import type { FromLogThread, LogThreadTask, ToLogThread } from './thread-messages.ts';
import { SnapshotThread } from './thread-snapshots.ts';
import { WorkerThread } from './worker-thread.ts';

export interface ThreadLogOptions {
  /** The node's data directory, formatted already. */
  readonly path: string;
  readonly owner: number;
  readonly sizes: LogSizes;
  readonly events: LogEvents;
  /** Told now and then while the directory is read. */
  readonly onProgress?: ((progress: RecoveryProgress) => void) | undefined;
}

/** Between two looks at how far the thread has read. */
const PROGRESS_MS = 100;

interface Waiting {
  resolve(slice: LogSlice): void;
  reject(error: Error): void;
}

type Opened = Extract<FromLogThread, { readonly kind: 'opened' }>;

/** The log in a thread of its own: nothing on the calling thread waits for the disk. */
export class ThreadLogStore implements LogStore {
  readonly recovery: Recovery;
  readonly snapshots: RemoteSnapshots;
  readonly #path: string;
  readonly #thread: WorkerThread;
  readonly #ring: RingWriter;
  readonly #snapshotThread: SnapshotThread;
  readonly #events: LogEvents;
  readonly #shared: SharedBuffers;
  readonly #reads = new Map<number, Waiting>();
  readonly #marks = new Map<number, { resolve(): void; reject(error: Error): void }>();
  #stats: Pick<LogStats, 'segments' | 'logBytes'>;
  #nextRead = 1;
  #durable = 0;
  #announces = true;
  #failure: Error | null = null;
  #closing: Promise<void> | null = null;
  #closed = false;

  /** Starts the thread; resolves when it has recovered the directory. */
  static async open(options: ThreadLogOptions): Promise<ThreadLogStore> {
    const { path, owner, sizes } = options;
    const ring = ringMemory();
    const done = new SharedArrayBuffer(8);
    const task: Omit<LogThreadTask, 'port'> = { path, owner, sizes, ring, done };
    const snapshots = new SnapshotThread(`${path}/${SNAPSHOT_DIRECTORY}`, owner);
    const expected = readableBytes(path);
    if (expected.snapshot > 0) snapshots.warmUp();
    const watch = watchProgress(options, new Float64Array(done), expected.log + 2 * expected.snapshot);
    const thread = new WorkerThread('log-worker', task);
    const found: { snapshots: RemoteSnapshots | null } = { snapshots: null };
    let settle: (message: FromLogThread) => void = () => {};
    const opened = new Promise<FromLogThread>((resolve) => {
      settle = (message) => {
        if (message.kind !== 'snapshots') {
          resolve(message);
          return;
        }
        const { latest, snapshotBytes } = message;
        snapshots.recovered(latest);
        found.snapshots = new RemoteSnapshots(latest, snapshotBytes, snapshots.call, (reason) => {
          options.events.onDamage?.({ file: `${path}/${SNAPSHOT_DIRECTORY}`, offset: 0, reason });
        });
        options.events.onSnapshots?.(found.snapshots);
      };
    });
    // Stays until another listens: a port without a listener is not waited for, its end would go unnoticed.
    thread.port.on('message', settle);
    try {
      const message = await Promise.race([opened, thread.ended.then(() => opened)]);
      if (message.kind === 'failed') throw fromPlainError(message.error);
      const remote = found.snapshots;
      if (message.kind !== 'opened' || remote === null) throw new TypeError('the log thread did not start');
      const store = new ThreadLogStore(thread, snapshots, remote, new RingWriter(ring), message, options);
      thread.port.off('message', settle);
      return store;
    } catch (error) {
      await Promise.all([thread.join(), snapshots.close()]);
      throw diskError(error);
    } finally {
      clearInterval(watch);
    }
  }

  private constructor(
    thread: WorkerThread,
    snapshots: SnapshotThread,
    remote: RemoteSnapshots,
    ring: RingWriter,
    opened: Opened,
    options: ThreadLogOptions,
  ) {
    this.recovery = opened.recovery;
    this.#stats = opened.stats;
    this.#thread = thread;
    this.#ring = ring;
    this.#events = options.events;
    this.#snapshotThread = snapshots;
    this.#path = options.path;
    this.snapshots = remote;
    this.#shared = new SharedBuffers(
      (id, buffer) => {
        this.#post({ kind: 'share', id, buffer });
      },
      (id) => {
        this.#post({ kind: 'forget', id });
      },
    );
    thread.port.on('message', (message: FromLogThread) => {
      this.#receive(message);
    });
    thread.ended.catch((error: unknown) => {
      this.#fail(diskError(error));
    });
    this.#awaitDurable();
  }

  get stats(): LogStats {
    return { ...this.#stats, snapshotBytes: this.snapshots.bytes };
  }

  append(write: LogWrite): void {
    if (this.#closing !== null || this.#failure !== null) return;
    const message = encodeAppend(write);
    for (const part of write.records) {
      const { buffer } = part;
      if (buffer instanceof SharedArrayBuffer) {
        message.push(this.#shared.idOf(buffer), part.byteOffset, part.length);
      } else {
        // Shared and not transferred: see `SnapshotThread` for what that would do to this thread's code.
        const bytes = new Uint8Array(new SharedArrayBuffer(part.length));
        copyBytes(part, 0, part.length, bytes, 0);
        this.#post({ kind: 'loose', bytes });
        message.push(0, 0, bytes.length);
      }
    }
    this.#ring.write(message);
    this.#shared.trim();
  }

  poll(): void {
    const { durable } = this.#ring;
    if (durable === this.#durable) return;
    this.#durable = durable;
    if (this.#failure === null) this.#events.onDurable(durable, this.#ring.durableForMs);
  }

  announce(wanted: boolean): void {
    if (wanted === this.#announces) return;
    this.#announces = wanted;
    this.#ring.wanted = wanted;
    // What became durable before the thread could know.
    if (wanted && this.#ring.durable !== this.#durable) this.#ring.interrupt();
  }

  read(from: Index, to: Index, maxBytes: number): Promise<LogSlice> {
    if (this.#closing !== null) return Promise.reject(new CordwoodError('CLOSED', 'the log is closed'));
    if (this.#failure !== null) return Promise.reject(this.#failure);
    const id = this.#nextRead++;
    return new Promise((resolve, reject) => {
      this.#reads.set(id, { resolve, reject });
      this.#post({ kind: 'read', id, from, to, maxBytes });
    });
  }

  compact(through: Index): void {
    if (this.#closing === null) this.#post({ kind: 'compact', through });
  }

  setQuarantine(reason: string | null): Promise<void> {
    if (this.#closing !== null) return Promise.reject(new CordwoodError('CLOSED', 'the log is closed'));
    if (this.#failure !== null) return Promise.reject(this.#failure);
    const id = this.#nextRead++;
    return new Promise((resolve, reject) => {
      this.#marks.set(id, { resolve, reject });
      this.#post({ kind: 'quarantine', id, reason });
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#post({ kind: 'close' });
    await Promise.all([this.#thread.join(), this.#snapshotThread.close()]);
    this.poll();
    this.#closed = true;
    this.#ring.interrupt();
    this.#refuseAll(new CordwoodError('CLOSED', 'the log is closed'));
  }

  #refuseAll(error: Error): void {
    for (const waiting of this.#reads.values()) waiting.reject(error);
    for (const waiting of this.#marks.values()) waiting.reject(error);
    this.#reads.clear();
    this.#marks.clear();
  }

  /** The port holds the message, the ring its place among the others. */
  #post(message: ToLogThread): void {
    this.#thread.port.postMessage(message);
    this.#ring.write(null);
  }

  readonly #awaitDurable = (): void => {
    while (!this.#closed) {
      this.poll();
      const next = this.#ring.durableAfter(this.#durable);
      if (next === null) continue;
      void next.then(this.#awaitDurable);
      return;
    }
  };

  #receive(message: FromLogThread): void {
    switch (message.kind) {
      case 'slice':
        this.#reads
          .get(message.id)
          ?.resolve({ first: message.first, last: message.last, bytes: message.bytes });
        this.#reads.delete(message.id);
        break;
      case 'unread':
        this.#reads.get(message.id)?.reject(fromPlainError(message.error));
        if (message.error.code === 'LOG_DAMAGED') this.#foundUnreadable(message.error.message);
        this.#reads.delete(message.id);
        break;
      case 'done':
        if (message.error === null) this.#marks.get(message.id)?.resolve();
        else this.#marks.get(message.id)?.reject(fromPlainError(message.error));
        this.#marks.delete(message.id);
        break;
      case 'damage':
        this.#events.onDamage?.(message.damage);
        break;
      case 'space':
        this.#events.onSpace?.(message.space);
        break;
      case 'stats':
        this.#stats = message.stats;
        break;
      case 'failed':
        this.#fail(fromPlainError(message.error));
        break;
      case 'room':
        this.#ring.refill();
        break;
      case 'snapshots':
      case 'opened':
      case 'closed':
        break;
    }
  }

  #foundUnreadable(reason: string): void {
    this.#events.onDamage?.({ file: `${this.#path}/${LOG_DIRECTORY}`, offset: 0, reason });
  }

  #fail(error: Error): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#refuseAll(error);
    this.#events.onFailure(error);
  }
}

/** The thread counts what it reads; the state will be read from the snapshot once more after that. */
function watchProgress(
  { onProgress }: ThreadLogOptions,
  done: Float64Array,
  totalBytes: number,
): NodeJS.Timeout | undefined {
  if (onProgress === undefined) return undefined;
  return setInterval(() => {
    onProgress({ doneBytes: Math.min(done[0]!, totalBytes), totalBytes });
  }, PROGRESS_MS);
}
