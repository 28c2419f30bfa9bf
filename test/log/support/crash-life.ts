import { SnapshotFiles } from '../../../lib/log/snapshot-files.ts';
import type { LogEngine } from '../../../lib/log/log-engine.ts';
import type { LogSizes } from '../../../lib/log/log-options.ts';
import type { OpenedLogFiles } from '../../../lib/log/open-log-files.ts';
import { MemoryDisk } from '../../../lib/log/memory-disk.ts';
import { LogModel, config, entry, open, show, tinySizes, writeOf } from '../helpers.ts';
import { crashImages, fingerprint } from './crash-images.ts';
import { stepOf } from './disk-trace.ts';

/** What a directory may say after a crash. */
export interface State {
  readonly log: LogModel;
  /** Index of the snapshot that counts; 0: none. */
  readonly snapshot: number;
  /** Something that was durable is known to be missing: damage or doubt must be reported. */
  readonly sick: boolean;
}

/** Crash images looked at for each call, and for each call of the recovery of one of them. */
const IMAGES = 48;
const IMAGES_OF_RECOVERY = 6;
/** Of the images left by one call, so many are also used to crash their recovery. */
const RECOVERIES = 2;

/**
 * A data directory whose owner's operations are watched: `during` runs one of them, and before each call that it makes
 * on the disk, every crash that is possible there is tried out, recovered from and compared with what may be.
 */
export class CrashLife {
  readonly disk: MemoryDisk = new MemoryDisk();
  sizes: LogSizes;
  /** What may be found after a crash now: the last acknowledged state and those on their way. */
  states: State[] = [{ log: new LogModel(), snapshot: 0, sick: false }];
  /** Steps seen in `during`. */
  readonly steps: Set<string> = new Set();
  readonly problems: string[] = [];
  images = 0;
  #opened: OpenedLogFiles | null = null;
  #snapshots: SnapshotFiles | null = null;
  #salt = 0;
  readonly #seen = new Set<string>();

  constructor(sizes: Partial<LogSizes> = {}) {
    this.sizes = { ...tinySizes, ...sizes };
  }

  /** Starts, if it does not run. */
  open(): OpenedLogFiles {
    this.#opened ??= open(this.disk, 1 + this.#salt++, this.sizes);
    return this.#opened;
  }

  get engine(): LogEngine {
    return this.open().engine;
  }

  get snapshots(): SnapshotFiles {
    this.#snapshots ??= new SnapshotFiles(this.disk, '/d/snapshots', 7, this.open().latest);
    return this.#snapshots;
  }

  get state(): State {
    return this.states.at(-1)!;
  }

  /** From now on `changes` may have happened. */
  expect(changes: Partial<State>): void {
    this.states.push({ ...this.state, ...changes });
  }

  /** The last state expected is acknowledged: nothing older may be found. */
  acknowledge(): void {
    this.states = [this.state];
  }

  /** Appends entries of the given sizes in one group, one write for each list. */
  append(groups: readonly (readonly number[])[], term = 1, back = 0): void {
    let log = this.state.log;
    const writes = groups.map((bodies) => {
      log = log.clone();
      const first = log.lastIndex + 1 - back;
      const hardState = term > log.hardState.term ? { term, vote: 2 } : null;
      const entries = bodies.map((bytes, at) => entry(first + at, term, this.#salt++ & 255, bytes));
      const write = writeOf(this.#salt, entries, hardState);
      log.apply(write, entries);
      this.expect({ log });
      return write;
    });
    this.engine.write(writes);
    this.engine.sync();
    this.acknowledge();
  }

  vote(term: number, vote: number): void {
    const log = this.state.log.clone();
    const write = writeOf(this.#salt++, [], { term, vote });
    log.apply(write, []);
    this.expect({ log });
    this.engine.write([write]);
    this.engine.sync();
    this.acknowledge();
  }

  /** Takes a snapshot of what is applied; the log stays as it is. */
  takeSnapshot(index: number, bytes: number): void {
    const handle = this.snapshots.create({
      index,
      term: this.state.log.termAt(index),
      config,
      configIndex: 0,
    });
    this.snapshots.write(handle, new Uint8Array(bytes).fill(index));
    this.expect({ snapshot: index });
    this.snapshots.commit(handle);
    this.acknowledge();
  }

  compact(through: number): void {
    while (this.engine.compact(through));
  }

  /** A snapshot arrives from a leader, and the log restarts behind it. */
  installSnapshot(index: number, term: number, bytes: number, sick: boolean = this.state.sick): void {
    const handle = this.snapshots.create({ index, term, config, configIndex: 0 });
    this.snapshots.write(handle, new Uint8Array(bytes).fill(index));
    const restarted = this.state.log.clone();
    restarted.apply(writeOf(0, [], null, { index, term }), []);
    // From the rename on, recovery finishes the installation by itself.
    this.expect({ snapshot: index, log: restarted, sick });
    this.snapshots.commit(handle);
    const log = restarted.clone();
    const hardState = term > log.hardState.term ? { term, vote: 0 } : null;
    const entries = [entry(index + 1, term, this.#salt++ & 255, 30)];
    const write = writeOf(this.#salt, entries, hardState, { index, term });
    log.apply(write, entries);
    this.expect({ log });
    this.engine.write([write]);
    this.engine.sync();
    this.acknowledge();
  }

  /** The process ends without a word; files are as the kernel has them. */
  kill(): void {
    this.disk.kill();
    this.#opened = null;
    this.#snapshots = null;
  }

  close(): void {
    this.#snapshots?.close();
    this.engine.close();
    this.#opened = null;
    this.#snapshots = null;
  }

  /** Runs an operation and crashes at every step of it. */
  during(operation: () => void): void {
    this.disk.onCall = (call) => {
      const step = stepOf(this.disk, '/d', call);
      if (step === null) return undefined;
      this.steps.add(step);
      this.crash(step);
      return undefined;
    };
    try {
      operation();
    } finally {
      this.disk.onCall = null;
    }
    this.crash('the end');
  }

  /** Tries every crash that is possible at this moment. */
  crash(step: string): void {
    const key = this.states.map((s) => `${s.log.show(0)} ${s.snapshot} ${s.sick}`).join();
    let recoveries = RECOVERIES;
    for (const image of crashImages(this.disk, IMAGES, this.images)) {
      const print = `${key}${fingerprint(image)}`;
      if (this.#seen.has(print)) continue;
      this.#seen.add(print);
      this.images++;
      const before = image.fork();
      this.#check(image, step);
      if (recoveries-- > 0) this.#crashRecovery(before, step);
    }
  }

  /** Opens the directory, compares, crashes again, goes on writing. */
  #check(image: MemoryDisk, step: string): void {
    const found = this.#open(image, this.states, step);
    if (found === null) return;
    // What recovery has said is durable, though nothing was acknowledged since.
    for (const again of crashImages(image, 4, this.images)) this.#open(again, [found], `${step}, open`);
    if (found.sick) return;
    const opened = open(image, 77, this.sizes);
    const log = found.log.clone();
    const term = Math.max(1, log.hardState.term, log.termAt(log.lastIndex));
    const entries = [entry(log.lastIndex + 1, term, 200, 20)];
    const write = writeOf(1, entries, term > log.hardState.term ? { term, vote: 1 } : null);
    log.apply(write, entries);
    opened.engine.write([write]);
    opened.engine.sync();
    image.crash(() => 0);
    this.#open(image, [{ ...found, log }], `${step}, then a write`);
  }

  /** Opens `disk` and stops at every call that this makes. */
  #crashRecovery(disk: MemoryDisk, step: string): void {
    disk.onCall = (call) => {
      const name = stepOf(disk, '/d', call);
      if (name === null) return undefined;
      for (const image of crashImages(disk, IMAGES_OF_RECOVERY, this.images)) {
        this.#open(image, this.states, `${step}, then in recovery: ${name}`);
      }
      return undefined;
    };
    open(disk, 55, this.sizes);
  }

  /** Which of the allowed states the directory is in; null, with a problem noted: none. */
  #open(disk: MemoryDisk, allowed: readonly State[], step: string): State | null {
    try {
      const opened = open(disk, 33, this.sizes);
      const { recovery, latest } = opened;
      const sick = recovery.damage !== null || recovery.doubt !== null;
      const found = allowed.find((state) => {
        if (state.sick !== sick || state.snapshot !== (latest?.meta.index ?? 0)) return false;
        if (recovery.damage === null) return state.log.show(recovery.prevIndex) === show(opened);
        const { term, vote } = state.log.hardState;
        return (
          recovery.hardStateKnown && recovery.hardState.term === term && recovery.hardState.vote === vote
        );
      });
      if (found !== undefined) return found;
      const why = recovery.damage?.reason ?? recovery.doubt?.reason ?? 'whole';
      this.problems.push(
        `crash before ${step}: found (${why}), snapshot ${latest?.meta.index ?? 0}\n${show(opened)}`,
      );
      this.problems.push(
        ...allowed.map(
          (s) => `allowed: snapshot ${s.snapshot}, sick ${s.sick}\n${s.log.show(recovery.prevIndex)}`,
        ),
      );
    } catch (error) {
      this.problems.push(`crash before ${step}: ${String(error)}`);
    }
    return null;
  }
}
