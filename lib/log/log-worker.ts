import { randomFillSync } from 'node:crypto';
import { receiveMessageOnPort } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { diskError } from './disk-error.ts';
import { LogLane } from './log-lane.ts';
import type { LogSizes } from './log-options.ts';
import type { LogSlice } from './log-store.ts';
import { NodeDisk } from './node-disk.ts';
import { SNAPSHOT_DIRECTORY, openLogFiles } from './open-log-files.ts';
import type { OpenedLogFiles } from './open-log-files.ts';
import { Scrubber } from './scrubber.ts';
import { decodeAppend, toPlainError } from './thread-messages.ts';
import type { FromLogThread, LogThreadTask, ToLogThread } from './thread-messages.ts';

/**
 * The log thread: one task that lasts as long as the log is open. It sleeps on its port; once woken it takes
 * everything that has come, does one step, looks at the port again, and goes on until nothing is left. What arrives
 * during an fdatasync is therefore one write and one fdatasync, however many appends it was.
 */
export default function serveLog(task: LogThreadTask): Promise<void> {
  const { port } = task;
  const send = (message: FromLogThread): void => {
    port.postMessage(message);
  };
  let thread: LogThread | null = null;
  const options = {
    sizes: task.sizes,
    owner: task.owner,
    random: (bytes: Uint8Array): void => {
      randomFillSync(bytes);
    },
    waitForRoom: (): boolean => {
      if (thread === null) return false;
      send({ kind: 'space', space: opened.engine.checkSpace() });
      return thread.waitForRoom();
    },
  };
  let opened: OpenedLogFiles;
  try {
    opened = openLogFiles(new NodeDisk(), task.path, options, false);
  } catch (error) {
    send({ kind: 'failed', error: toPlainError(diskError(error)) });
    port.close();
    return Promise.resolve();
  }
  const { engine, recovery, latest, snapshotBytes } = opened;
  const lane = new LogLane(
    engine,
    {
      durable: send,
      failed: (error) => {
        send({ kind: 'failed', error: toPlainError(error) });
      },
      slice: (id, result) => {
        answerRead(port, id, result);
      },
      done: (id, error) => {
        send({ kind: 'done', id, error: error === null ? null : toPlainError(error) });
      },
      changed: () => {
        send({ kind: 'stats', stats: engine.stats });
      },
    },
    task.sizes.maxGroupBytes,
  );
  send({ kind: 'opened', recovery, latest, snapshotBytes, stats: engine.stats });
  const scrubber = new Scrubber(new NodeDisk(), engine, `${task.path}/${SNAPSHOT_DIRECTORY}`, (damage) => {
    send({ kind: 'damage', damage });
  });
  return new Promise((resolve) => {
    thread = new LogThread(port, lane, scrubber, resolve);
    thread.start(task.sizes, () => {
      send({ kind: 'space', space: engine.checkSpace() });
    });
  });
}

/** How long a write that finds no room waits before it is tried again. */
const ROOM_INTERVAL_MS = 200;

class LogThread {
  readonly #port: MessagePort;
  readonly #lane: LogLane;
  readonly #scrubber: Scrubber;
  readonly #done: () => void;
  readonly #shared = new Map<number, SharedArrayBuffer>();
  #loose: Uint8Array[] = [];
  #closing = false;
  #idle: NodeJS.Immediate | null = null;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #never = new Int32Array(new SharedArrayBuffer(4));

  constructor(port: MessagePort, lane: LogLane, scrubber: Scrubber, done: () => void) {
    this.#port = port;
    this.#lane = lane;
    this.#scrubber = scrubber;
    this.#done = done;
  }

  start(sizes: LogSizes, checkSpace: () => void): void {
    if (sizes.scrubIntervalMs > 0) {
      this.#every(sizes.scrubIntervalMs, () => {
        if (this.#lane.next === null) this.#scrubber.step();
      });
    }
    if (sizes.spaceIntervalMs > 0) {
      this.#every(sizes.spaceIntervalMs, checkSpace);
      checkSpace();
    }
    this.#port.on('message', (message: ToLogThread) => {
      this.#take(message);
      this.#work();
    });
    // The node is gone without a word (its thread ended): what it appended is kept as it would be after a crash.
    this.#port.on('close', () => {
      this.#closing = true;
      this.#work();
    });
    this.#work();
  }

  /** With a full disk this thread stands still, as it does with a slow one; only the end of the log ends that. */
  waitForRoom(): boolean {
    Atomics.wait(this.#never, 0, 0, ROOM_INTERVAL_MS);
    this.#drainPort();
    return !this.#closing;
  }

  #every(intervalMs: number, action: () => void): void {
    this.#timers.push(
      setInterval(() => {
        this.#drainPort();
        if (!this.#closing) action();
        this.#work();
      }, intervalMs),
    );
  }

  #take(message: ToLogThread): void {
    if (Array.isArray(message)) {
      this.#lane.append(decodeAppend(message as readonly number[], this.#shared, this.#loose));
      return;
    }
    this.#takeOther(message as Exclude<ToLogThread, readonly number[]>);
  }

  #takeOther(message: Exclude<ToLogThread, readonly number[]>): void {
    switch (message.kind) {
      case 'share':
        this.#shared.set(message.id, message.buffer);
        break;
      case 'forget':
        this.#shared.delete(message.id);
        break;
      case 'loose':
        this.#loose.push(message.bytes);
        break;
      case 'read':
        this.#lane.read(message.id, message.from, message.to, message.maxBytes);
        break;
      case 'compact':
        this.#lane.compact(message.through);
        break;
      case 'quarantine':
        this.#lane.setQuarantine(message.id, message.reason);
        break;
      case 'close':
        this.#closing = true;
        break;
    }
  }

  #drainPort(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#port);
      if (received === undefined) return;
      this.#take(received.message as ToLogThread);
    }
  }

  #work(): void {
    this.#drainPort();
    for (;;) {
      const next = this.#lane.next;
      if (next === null || next === 'prepare') break;
      this.#lane.step();
      // Between a write and its sync there is nothing to decide: what comes meanwhile waits for the next block.
      if (next !== 'write') this.#drainPort();
    }
    if (this.#closing) this.#finish();
    else if (this.#lane.next === 'prepare') this.#prepareSoon();
  }

  /** Work ahead goes in single steps from turns of their own: an append waits for one of them at most. */
  #prepareSoon(): void {
    this.#idle ??= setImmediate(() => {
      this.#idle = null;
      this.#drainPort();
      if (!this.#closing && this.#lane.next === 'prepare') this.#lane.step();
      this.#work();
    });
  }

  #finish(): void {
    if (this.#idle !== null) clearImmediate(this.#idle);
    for (const timer of this.#timers) clearInterval(timer);
    this.#scrubber.close();
    this.#lane.close();
    this.#port.removeAllListeners();
    this.#port.postMessage({ kind: 'closed' } satisfies FromLogThread);
    this.#port.close();
    this.#done();
  }
}

function answerRead(port: MessagePort, id: number, result: LogSlice | Error): void {
  if (result instanceof Error) {
    port.postMessage({ kind: 'unread', id, error: toPlainError(result) } satisfies FromLogThread);
    return;
  }
  const { first, last, bytes } = result;
  port.postMessage({ kind: 'slice', id, first, last, bytes } satisfies FromLogThread, [
    bytes.buffer as ArrayBuffer,
  ]);
}
