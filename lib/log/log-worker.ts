import { randomFillSync } from 'node:crypto';
// Imported because the global is a getter, which is called each time.
import { performance } from 'node:perf_hooks';
import { receiveMessageOnPort } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { Chores } from './chores.ts';
import { diskError } from './disk-error.ts';
import { LogLane } from './log-lane.ts';
import type { LogSizes } from './log-options.ts';
import type { LogSlice } from './log-store.ts';
import { NodeDisk } from './node-disk.ts';
import { lowMark } from './space.ts';
import { SMALL_SHARE } from './segment-writer.ts';
import { CountingDisk } from './recovery-progress.ts';
import { SNAPSHOT_DIRECTORY, openLogFiles } from './open-log-files.ts';
import type { OpenedLogFiles } from './open-log-files.ts';
import { Scrubber } from './scrubber.ts';
import { decodeAppend, toPlainError } from './thread-messages.ts';
import { RingReader } from './thread-ring.ts';
import type { FromLogThread, LogThreadTask, ToLogThread } from './thread-messages.ts';

/**
 * The log thread: one task that lasts as long as the log is open. It sleeps on its ring; once woken it takes
 * everything that has come, does one step, looks at the ring again, and goes on until nothing is left. What arrives
 * during an fdatasync is therefore one write and one fdatasync, however many appends it was.
 */
export default function serveLog(task: LogThreadTask): Promise<void> {
  const { port } = task;
  const ring = new RingReader(task.ring);
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
      const space = opened.engine.checkSpace();
      if (space !== null) send({ kind: 'space', space });
      return thread.waitForRoom();
    },
  };
  let opened: OpenedLogFiles;
  const disk = new CountingDisk(task.done);
  disk.patient = true;
  try {
    opened = openLogFiles(disk, task.path, options, false, ({ latest, bytes }) => {
      send({ kind: 'snapshots', latest, snapshotBytes: bytes });
    });
  } catch (error) {
    send({ kind: 'failed', error: toPlainError(diskError(error)) });
    port.close();
    return Promise.resolve();
  }
  const { engine, recovery } = opened;
  const lane = new LogLane(
    engine,
    {
      durable: (ticket) => {
        ring.durable(ticket);
      },
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
  send({ kind: 'opened', recovery, stats: engine.stats });
  const scrubber = new Scrubber(new NodeDisk(), engine, `${task.path}/${SNAPSHOT_DIRECTORY}`, (damage) => {
    send({ kind: 'damage', damage });
  });
  return new Promise((resolve) => {
    thread = new LogThread(port, ring, lane, scrubber, disk, task.sizes.fillBytes, resolve);
    let toldBytes = Infinity;
    thread.start(task.sizes, (nowMs) => {
      const space = lane.checkSpace();
      if (space === null) return 0;
      // Each message wakes a node that may have nothing else to do.
      if (Math.abs(space.freeBytes - toldBytes) >= SPACE_STEP_BYTES) {
        toldBytes = space.freeBytes;
        send({ kind: 'space', space });
      }
      const { lowSpaceBytes, spaceIntervalMs } = task.sizes;
      // A log that rests fills no disk; if another does, that is noticed soon after the next write.
      const resting = nowMs - thread!.workedMs > spaceIntervalMs;
      return resting && space.freeBytes >= lowMark(space, lowSpaceBytes) ? SPACE_REST_MS : 0;
    });
  });
}

/** Between two looks at the room on the disk while the log rests, beyond the usual. */
const SPACE_REST_MS = 9_000;
/** Room that has changed by less is no news. */
const SPACE_STEP_BYTES = 1 << 20;
/** How long a write that finds no room waits before it is tried again. */
const ROOM_INTERVAL_MS = 200;
/** The longest sleep: in between, the thread's own event loop hears whether the node is still there. */
const MAX_SLEEP_MS = 10_000;
/** Between the end of one reading of everything that is at rest and the next. */
const SCRUB_REST_MS = 30_000;

/** A log nobody has written to for so long is left alone for a while, probably. */
const QUIET_MS = 5;
/** In a log that is never quiet one step of work ahead is done after so many blocks, if they are small. */
const STEP_BLOCKS = 32;

class LogThread {
  readonly #port: MessagePort;
  readonly #ring: RingReader;
  readonly #lane: LogLane;
  readonly #scrubber: Scrubber;
  readonly #disk: NodeDisk;
  readonly #done: () => void;
  readonly #shared = new Map<number, SharedArrayBuffer>();
  #loose: Uint8Array[] = [];
  #closing = false;
  readonly #chores = new Chores();
  #workedMs = 0;
  readonly #smallBytes: number;
  #blocksBefore = 0;
  #bytesBefore = 0;
  readonly #never = new Int32Array(new SharedArrayBuffer(4));

  constructor(
    port: MessagePort,
    ring: RingReader,
    lane: LogLane,
    scrubber: Scrubber,
    disk: NodeDisk,
    fillBytes: number,
    done: () => void,
  ) {
    this.#smallBytes = fillBytes / SMALL_SHARE;
    this.#port = port;
    this.#ring = ring;
    this.#lane = lane;
    this.#scrubber = scrubber;
    this.#disk = disk;
    this.#done = done;
  }

  /** When there last was something to do. */
  get workedMs(): number {
    return this.#workedMs;
  }

  start(sizes: LogSizes, checkSpace: (nowMs: number) => number): void {
    const now = performance.now();
    const scrub = (): number => {
      const before = this.#scrubber.rounds;
      this.#scrubber.step();
      // A small log is through in no time: read without a break it would cost an idle node most of what it uses.
      return this.#scrubber.rounds === before ? 0 : SCRUB_REST_MS;
    };
    const { scrubIntervalMs, spaceIntervalMs } = sizes;
    this.#chores.add({ intervalMs: scrubIntervalMs, followsWork: false, run: scrub }, now + scrubIntervalMs);
    this.#chores.add({ intervalMs: spaceIntervalMs, followsWork: true, run: checkSpace }, now);
    // The node is gone without a word (its thread ended): what it appended is kept as it would be after a crash.
    this.#port.on('close', () => {
      this.#closing = true;
    });
    setImmediate(this.#run);
  }

  /**
   * With a full disk this thread stands still, as it does with a slow one, but for compaction: room, or the end of the
   * log, ends that.
   */
  waitForRoom(): boolean {
    Atomics.wait(this.#never, 0, 0, ROOM_INTERVAL_MS);
    this.#drain();
    return this.#lane.compactForRoom() || !this.#closing;
  }

  /** Works until there has been nothing to do for a while, then lets the event loop have its turn. */
  readonly #run = (): void => {
    for (let asleep = false; !asleep;) {
      const worked = this.#work();
      if (this.#closing) {
        this.#finish();
        return;
      }
      const now = performance.now();
      if (worked) {
        this.#workedMs = now;
        this.#chores.worked(now);
      }
      const isPreparing = this.#lane.next === 'prepare';
      if (isPreparing && this.#mayPrepare(now)) {
        // Nobody waits for work ahead, and appends would wait for it.
        this.#disk.patient = false;
        this.#lane.step();
        this.#disk.patient = true;
        continue;
      }
      const choreMs = Math.min(now + MAX_SLEEP_MS, this.#chores.nextMs);
      const wakeMs = isPreparing ? Math.min(choreMs, this.#workedMs + QUIET_MS) : choreMs;
      asleep = wakeMs <= now || (this.#ring.sleep(wakeMs - now) && performance.now() >= choreMs);
    }
    this.#chores.run(performance.now());
    setImmediate(this.#run);
  };

  /**
   * Work ahead costs a sync of its own, and an append that comes meanwhile waits for it. A busy log that writes large
   * blocks gains nothing from it: it would overtake the zeros at once.
   */
  #mayPrepare(now: number): boolean {
    if (now - this.#workedMs >= QUIET_MS) return true;
    const blocks = this.#lane.blocks - this.#blocksBefore;
    if (blocks < STEP_BLOCKS) return false;
    const bytes = this.#lane.blockBytes - this.#bytesBefore;
    this.#blocksBefore += blocks;
    this.#bytesBefore += bytes;
    return bytes <= blocks * this.#smallBytes;
  }

  #takeOther(message: ToLogThread): void {
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

  #drain(): void {
    for (let fields = this.#ring.read(); fields !== null; fields = this.#ring.read()) {
      if (fields.length > 0) {
        this.#lane.append(decodeAppend(fields, this.#shared, this.#loose));
        continue;
      }
      const received = receiveMessageOnPort(this.#port);
      if (received !== undefined) this.#takeOther(received.message as ToLogThread);
    }
    if (this.#ring.starved) this.#port.postMessage({ kind: 'room' } satisfies FromLogThread);
  }

  /** Does what there is to do; whether something became durable. */
  #work(): boolean {
    this.#drain();
    for (let worked = false; ;) {
      const next = this.#lane.next;
      if (next === null || next === 'prepare') return worked;
      this.#lane.step();
      if (next === 'sync') worked = true;
      // Between a write and its sync there is nothing to decide: what comes meanwhile waits for the next block.
      if (next !== 'write') this.#drain();
    }
  }

  #finish(): void {
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
