import { CordwoodError } from '../../protocol/errors.ts';
import { diskErrorCode, UNREADABLE } from './disk-error.ts';
import type { Disk } from './disk.ts';
import type { LogEngine } from './log-engine.ts';
import type { LogDamage } from './log-store.ts';
import { SegmentReader } from './segment-reader.ts';
import type { Segment } from './segment.ts';
import { SnapshotFileReader } from './snapshot-file.ts';
import { parseSnapshotName } from './snapshot-format.ts';

/** Read at a time: an append that comes meanwhile waits for it. */
const PIECE_BYTES = 256 << 10;

/** One file on its way through the checks. */
interface Target {
  /** Checks the next piece. False: the file is through. Throws what is wrong with it. */
  next(): boolean;
  close(): void;
}

/**
 * Reads everything that is at rest, piece by piece, over and over, and checks it: rot is found while other nodes can
 * still help, and not by the restart that needs the data. Whoever hosts it decides when a piece is due.
 *
 * What it reads may come from the kernel's memory rather than from the disk; what the kernel has dropped (on a node
 * that has been up for long, most of it) comes from the disk.
 */
export class Scrubber {
  readonly #disk: Disk;
  readonly #engine: LogEngine;
  readonly #snapshots: string;
  readonly #found: (damage: LogDamage) => void;
  #queue: (() => Target | null)[] = [];
  #target: Target | null = null;
  /** Said already. */
  readonly #told = new Set<string>();
  #rounds = 0;

  constructor(disk: Disk, engine: LogEngine, snapshotDirectory: string, found: (damage: LogDamage) => void) {
    this.#disk = disk;
    this.#engine = engine;
    this.#snapshots = snapshotDirectory;
    this.#found = found;
  }

  /** How often everything has been read. */
  get rounds(): number {
    return this.#rounds;
  }

  /** Checks the next piece. Never throws: what it finds it reports. */
  step(): void {
    const target = this.#target ?? this.#begin();
    if (target === null) return;
    this.#target = target;
    let path = '';
    let more = false;
    try {
      more = target.next();
    } catch (error) {
      if (error instanceof Rot) {
        path = error.damage.file;
        this.#tell(error.damage);
      } else {
        // The file went meanwhile, or the disk has troubles of another kind: whoever needs it will say so.
      }
    }
    if (more && path === '') return;
    target.close();
    this.#target = null;
  }

  close(): void {
    this.#target?.close();
    this.#target = null;
    this.#queue = [];
  }

  #begin(): Target | null {
    if (this.#engine.damage !== null) return null;
    if (this.#queue.length === 0) {
      this.#rounds++;
      this.#queue = this.#plan();
    }
    while (this.#queue.length > 0) {
      try {
        const target = this.#queue.shift()!();
        if (target !== null) return target;
      } catch (error) {
        if (error instanceof Rot) this.#tell(error.damage);
      }
    }
    return null;
  }

  #plan(): (() => Target | null)[] {
    const plan: (() => Target | null)[] = this.#engine.image.segments.map(
      (segment) => () => this.#segment(segment),
    );
    for (const name of this.#snapshotNames()) plan.push(() => this.#snapshot(`${this.#snapshots}/${name}`));
    plan.push(() => {
      this.#engine.checkVotes(this.#disk, (reason, file) => {
        this.#tell({ file, offset: 0, reason });
      });
      return null;
    });
    return plan;
  }

  /** A directory that cannot be listed now is looked at in the next round. */
  #snapshotNames(): string[] {
    try {
      return this.#disk.readdir(this.#snapshots).filter((name) => parseSnapshotName(name) !== undefined);
    } catch {
      return [];
    }
  }

  #segment(segment: Segment): Target | null {
    const { image } = this.#engine;
    if (!image.segments.includes(segment)) return null;
    const { path, header } = segment;
    const reader = this.#reading(path, 0, () => new SegmentReader(this.#disk, path, PIECE_BYTES));
    let block = header.firstBlock;
    // Up to what is written now: the reader may hold bytes that are overwritten by later blocks.
    const successor = image.segments[image.segments.indexOf(segment) + 1];
    const until = successor?.header.firstBlock ?? this.#engine.lastBlock + 1;
    const next = (): boolean => {
      // Compacted away meanwhile: what is in the file now is nobody's.
      if (!image.segments.includes(segment)) return false;
      const end = reader.position + PIECE_BYTES;
      while (block < until && reader.position < end) {
        const { position } = reader;
        if (this.#reading(path, position, () => reader.next(block)) === null) {
          throw new Rot({ file: path, offset: position, reason: `block ${block} does not verify any more` });
        }
        block++;
      }
      return block < until;
    };
    try {
      const found = this.#reading(path, 0, () => reader.readHeader());
      if (typeof found === 'string') throw new Rot({ file: path, offset: 0, reason: found });
    } catch (error) {
      reader.close();
      throw error;
    }
    return {
      next,
      close: () => {
        reader.close();
      },
    };
  }

  #snapshot(path: string): Target | null {
    if (!this.#reading(path, 0, () => this.#disk.exists(path))) return null;
    const reader = this.#reading(path, 0, () => new SnapshotFileReader(this.#disk, path));
    let offset = 0;
    return {
      next: () => {
        const length = this.#reading(path, offset, () => reader.read(offset, PIECE_BYTES).length);
        offset += length;
        return length > 0;
      },
      close: () => {
        reader.close();
      },
    };
  }

  /** Whatever a read says about rot, as `Rot`. */
  #reading<T>(file: string, offset: number, read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (error instanceof Rot) throw error;
      if (CordwoodError.is(error) && error.code === 'SNAPSHOT_DAMAGED') {
        throw new Rot({ file, offset, reason: error.message });
      }
      if (diskErrorCode(error) === 'EIO') {
        throw new Rot({ file, offset, reason: UNREADABLE });
      }
      throw error;
    }
  }

  #tell(found: LogDamage): void {
    const damage = this.#engine.leave(found);
    // Once more when it can be got rid of: at first there may have been no room for that.
    const key = `${damage.file} ${damage.offset} ${damage.coveredBy === undefined}`;
    if (this.#told.has(key)) return;
    this.#told.add(key);
    this.#found(damage);
  }
}

class Rot extends Error {
  readonly damage: LogDamage;

  constructor(damage: LogDamage) {
    super(damage.reason);
    this.damage = damage;
  }
}
