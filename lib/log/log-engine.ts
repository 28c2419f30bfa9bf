import { CordwoodError } from '../../protocol/errors.ts';
import type { HardState, Index, Term } from '../core/types.ts';
import { diskError } from './disk-error.ts';
import type { Disk } from './disk.ts';
import { readEntries } from './log-reader.ts';
import { missingLog, recoverLog } from './log-recovery.ts';
import type { RecoveredLog } from './log-recovery.ts';
import type { LogSizes } from './log-options.ts';
import { LogImage } from './log-image.ts';
import { LogRoom } from './log-room.ts';
import { LogTail } from './log-tail.ts';
import { NodeRecord } from './node-record.ts';
import type { DiskSpace } from './space.ts';
import type { LogDamage, LogSlice, LogStats, LogWrite } from './log-store.ts';
import { segmentSequence } from './segment-format.ts';
import { SegmentWriter } from './segment-writer.ts';
import { settleTail } from './settle-tail.ts';
import type { VoteFile } from './vote-file.ts';

export interface EngineOptions {
  readonly sizes: LogSizes;
  /** Stands in every segment: see `ownerOf`. */
  readonly owner: number;
  /** Fills `bytes` with random numbers; data, so that the simulator can repeat a run. */
  readonly random: (bytes: Uint8Array) => void;
  /** Waits a while for room on a full disk; false: there is no point in waiting any longer. Absent: never waits. */
  readonly waitForRoom?: () => boolean;
}

/**
 * The segmented log, synchronous and single-threaded: hosted by the log thread in production and in place by the
 * simulator. `write` puts blocks into the file, `sync` makes them durable; between the two a crash may take them.
 * After the first error every call throws that error.
 */
export class LogEngine {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #image: LogImage;
  readonly #writer: SegmentWriter;
  readonly #room: LogRoom;
  readonly #record: NodeRecord;
  readonly #tail: LogTail;
  #damage: LogDamage | null;
  #failure: Error | null = null;
  /** Segments that are no longer part of the log and still have to go. */
  #obsolete: string[];

  /** Makes the first segment of a new directory. Only then does the log exist. */
  static format(disk: Disk, directory: string, options: EngineOptions): void {
    disk.mkdir(directory);
    for (const name of disk.readdir(directory)) disk.unlink(`${directory}/${name}`);
    const engine = new LogEngine(disk, directory, options, null);
    engine.#tail.roll({ index: 0, term: 0 }, true, null);
    engine.close();
  }

  /** Opens what `recoverLog` found. */
  static open(disk: Disk, directory: string, options: EngineOptions, recovered: RecoveredLog): LogEngine {
    return new LogEngine(disk, directory, options, recovered);
  }

  /**
   * Recovers and opens; makes the log if there is none and `create` says so. `mend` is asked of a damaged log what is
   * whole without the segments that are not needed, if anything.
   */
  static recover(
    disk: Disk,
    directory: string,
    options: EngineOptions,
    create: boolean,
    mend: (damaged: RecoveredLog) => RecoveredLog | null = () => null,
  ): { engine: LogEngine; recovered: RecoveredLog } {
    if (create && (!disk.exists(directory) || recoverLog(disk, directory, options.owner) === null)) {
      LogEngine.format(disk, directory, options);
    }
    disk.mkdir(directory);
    const found = recoverLog(disk, directory, options.owner) ?? missingLog(directory);
    const recovered = found.damage === null ? found : (mend(found) ?? found);
    if (recovered.damage === null) settleTail(disk, directory, recovered);
    return { engine: LogEngine.open(disk, directory, options, recovered), recovered };
  }

  private constructor(disk: Disk, directory: string, options: EngineOptions, recovered: RecoveredLog | null) {
    this.#disk = disk;
    this.#directory = directory;
    this.#writer = new SegmentWriter(disk, directory, options.sizes.fillBytes, () => this.#room.make());
    this.#room = new LogRoom(disk, directory, options.sizes, options.waitForRoom);
    this.#image = recovered?.image ?? new LogImage();
    this.#record = new NodeRecord(recovered?.hardState ?? { term: 0, vote: 0 });
    const { owner, random } = options;
    const [image, writer, room, record] = [this.#image, this.#writer, this.#room, this.#record];
    this.#tail = new LogTail({ directory, owner, random, image, writer, room, record }, recovered);
    this.#damage = recovered?.damage ?? null;
    this.#obsolete = [...(recovered?.obsolete ?? [])];
    this.#removeObsolete();
  }

  get image(): LogImage {
    return this.#image;
  }

  get hardState(): HardState {
    return this.#record.hardState;
  }

  /** Set: nothing can be added any more, until the log is reset behind a snapshot. */
  get damage(): LogDamage | null {
    return this.#damage;
  }

  /** Nothing more is added to this log: what it lacks was found out by comparing it with other files. */
  markDamaged(damage: LogDamage): void {
    this.#damage ??= damage;
  }

  /** Number of the last block written. */
  get lastBlock(): number {
    return this.#tail.lastBlock;
  }

  /** From now on term and vote go to `votes` too; what it knows better counts. */
  keepVotes(votes: VoteFile): void {
    if (this.#damage !== null) this.#tail.skipTo(votes.record.lastBlock);
    this.#record.keep(votes);
    votes.makeRoom = () => this.#room.make();
    this.#run(() => {
      votes.settle();
    });
  }

  /** Why the node is in quarantine; null: it is not, or not any more. Durable when this returns. */
  setQuarantine(reason: string | null): void {
    this.#run(() => {
      this.#record.setQuarantine(reason, this.#wholeUpTo());
    });
  }

  /** Segment files and their bytes, spares included in the bytes. */
  get stats(): Pick<LogStats, 'segments' | 'logBytes'> {
    const { segments } = this.#image;
    return {
      segments: segments.length,
      logBytes: segments.reduce((sum, s) => sum + s.fileBytes, this.#room.bytes),
    };
  }

  /** As in `stats`, which costs more than a write has time for. */
  get segments(): number {
    return this.#image.segments.length;
  }

  /**
   * Looks at the vote file at rest, with the disk of who asks, and writes it again if a copy has rotted; `found` is told.
   */
  checkVotes(disk: Disk, found: (reason: string, file: string) => void): void {
    const { votes } = this.#record;
    if (votes === null || this.#failure !== null) return;
    const reason = votes.check(disk);
    if (reason === null) return;
    found(reason, votes.path);
    this.#run(() => {
      votes.store(votes.record);
    });
  }

  /** Puts the writes into the log, in order, as one block where they fit. Durable after `sync`. */
  write(writes: readonly LogWrite[]): void {
    this.#run(() => {
      this.#writer.datasync();
      for (const write of writes) {
        if (write.resetTo !== null) {
          this.#tail.flush();
          this.#reset(write, write.resetTo);
        } else {
          this.#add(write);
        }
      }
      this.#tail.flush();
    });
  }

  /** Makes what was written durable. */
  sync(): void {
    this.#run(() => {
      this.#writer.datasync();
      this.#record.synced(this.#wholeUpTo());
    });
  }

  read(from: Index, to: Index, maxBytes: number): LogSlice {
    if (this.#failure !== null) throw this.#failure;
    return readEntries(this.#disk, this.#image, from, to, maxBytes);
  }

  /**
   * Drops the oldest segment if nothing in it is beyond `through`. False: there is nothing to drop, or no room to note
   * the removal: then it stays, with all behind it.
   */
  compact(through: Index): boolean {
    return this.#run(() => {
      const { segments, current, lastIndex } = this.#image;
      if (this.#damage !== null || !this.#image.canDrop(Math.min(through, lastIndex))) return false;
      if (!this.#room.recycle(segments[0]!, current)) return false;
      this.#image.drop();
      return true;
    });
  }

  /** Room on the disk; null: it is not known. With too little of it what was made ahead is given up. */
  checkSpace(): DiskSpace | null {
    return this.#run(() => this.#room.check());
  }

  /** One short step of making files ready for what is to come. False: everything is ready. */
  prepare(): boolean {
    return this.#run(() => {
      this.#noteReach();
      if (this.#damage !== null || this.#tail.rollsFirst) return false;
      return this.#room.prepare(this.#image.current, this.#writer);
    });
  }

  /**
   * `damage` was found at rest. Says which entry a snapshot must hold so that the segment it is in can go. One that is
   * still written to ends here: it could not go otherwise, however new the snapshot, and would take with it what is
   * acknowledged from now on, since the next start reads nothing behind the damage.
   */
  leave(damage: LogDamage): LogDamage {
    const { segments, lastIndex, lastTerm } = this.#image;
    const at = segments.findIndex(({ path }) => path === damage.file);
    if (at < 0 || this.#damage !== null) return damage;
    const next = segments[at + 1];
    if (next !== undefined) return { ...damage, coveredBy: next.header.prevIndex };
    try {
      this.#run(() => {
        this.#room.check();
        // On a full disk a new file would be waited for, and with it votes that still fit into the old one.
        if (!this.#room.isScarce) this.#tail.roll({ index: lastIndex, term: lastTerm }, false, null);
      });
    } catch {
      // Who uses the log next is told.
    }
    return this.#image.current === segments[at] ? damage : { ...damage, coveredBy: lastIndex };
  }

  /** Marks the log as closed cleanly: everything before the mark was durable, so that no part of it is a torn tail. */
  close(): void {
    if (this.#failure === null && this.#damage === null) {
      this.#run(() => {
        // How far the log reached: a block that goes missing while nobody looks is missed.
        if (this.#tail.seal()) this.#record.store(this.#wholeUpTo());
      });
    }
    this.#record.votes?.close();
    this.#writer.close();
  }

  /** An error ends the engine: what the disk holds then is known only after it has been read again. */
  #run<T>(action: () => T): T {
    if (this.#failure !== null) throw this.#failure;
    try {
      return action();
    } catch (error) {
      this.#failure = diskError(error);
      throw this.#failure;
    }
  }

  #add(write: LogWrite): void {
    if (
      this.#damage !== null &&
      write.hardState !== null &&
      write.records.length === 0 &&
      this.#record.votes !== null
    ) {
      // Terms go on while the log cannot: the vote file alone holds them until the log is restarted.
      this.#record.setHardState(write.hardState);
      return;
    }
    if (this.#damage !== null) {
      throw new CordwoodError('LOG_DAMAGED', `${this.#damage.file}: ${this.#damage.reason}`);
    }
    this.#tail.add(write);
  }

  /** Last block; null: the log is damaged, so that what it ends with says nothing. */
  #wholeUpTo(): number | null {
    return this.#damage === null ? this.lastBlock : null;
  }

  #noteReach(): void {
    if (this.#damage === null && !this.#writer.dirty) this.#record.noteReach(this.lastBlock);
  }

  #reset(write: LogWrite, to: { readonly index: Index; readonly term: Term }): void {
    // Whatever lies there, also what a damaged log never came to read.
    const names = this.#disk.readdir(this.#directory).filter((name) => segmentSequence(name) !== undefined);
    this.#obsolete = names.map((name) => `${this.#directory}/${name}`);
    if (this.#damage !== null) {
      // From here on the log looks whole, but what was lost is not in it yet.
      this.#record.doubt(this.#damage.reason);
    }
    this.#damage = null;
    this.#tail.roll(to, true, write);
    this.#removeObsolete();
  }

  #removeObsolete(): void {
    if (this.#obsolete.length === 0) return;
    for (const path of this.#obsolete) this.#disk.unlink(path);
    this.#disk.syncDirectory(this.#directory);
    this.#obsolete = [];
  }
}
