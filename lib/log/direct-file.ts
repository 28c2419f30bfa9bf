import fs from 'node:fs';
import { copyBytes } from '../../protocol/byte-writer.ts';

/** What position, length and memory of a direct write are multiples of. No disk in use has larger sectors. */
const PAGE_BYTES = 4096;
const STAGE_BYTES = 1 << 20;

/** Memory that all direct files of a thread are written from and read into; it begins on a page of its own. */
export class DirectStage {
  // A buffer that could grow is given whole pages.
  readonly bytes: Buffer = Buffer.from(new ArrayBuffer(STAGE_BYTES, { maxByteLength: STAGE_BYTES }));
  #holder: DirectFile | null = null;

  /** The file whose last page stands at the beginning. */
  get holder(): DirectFile | null {
    return this.#holder;
  }

  /** `file` is going to use it, null: anyone for once. Who has something here first takes it away. */
  take(file: DirectFile | null): void {
    if (this.#holder === file) return;
    this.#holder?.leaveStage();
    this.#holder = file;
  }
}

/**
 * A file written and read past the kernel's page cache (`O_DIRECT`), for files that grow at their end.
 *
 * A log pushed through the cache takes a fresh page for every 4 KiB that nobody will read again, and the kernel copies
 * each byte once more to get it there; where memory is handed to a machine only when it is first touched, as it is to
 * many virtual ones, such a page costs more than the disk itself. And who reads back what was written learns something
 * of the disk, where the cache would only repeat what it was told.
 *
 * The disk takes whole pages. So the page a write ends in is written as a whole, zeros behind the end, and once more
 * as the beginning of the next write: until then it stays at the beginning of the stage, or in `#tail` where the stage
 * is needed for something else. Whoever has a file here must not mind up to a page of zeros where its own bytes end. The
 * bytes written a second time are the same; a cached page is treated alike.
 */
export class DirectFile {
  readonly path: string;
  readonly #fd: number;
  readonly #stage: DirectStage;
  /** The page at `#tailAt`, while another uses the stage. */
  #tail: Uint8Array | null = null;
  /** Where the page begins in the file whose content is known; -1: none is. */
  #tailAt = -1;
  #untried = true;

  /** `path` is where it was opened. */
  constructor(fd: number, path: string, stage: DirectStage) {
    this.#fd = fd;
    this.path = path;
    this.#stage = stage;
  }

  /** Nothing was written or read yet. */
  get untried(): boolean {
    return this.#untried;
  }

  /** As `Disk.write`: how many bytes were taken may be less than given. */
  write(parts: readonly Uint8Array[], position: number): number {
    const before = position % PAGE_BYTES;
    const from = position - before;
    if (before > 0) this.#loadPage(from, before);
    this.#stage.take(this);
    const stage = this.#stage.bytes;
    const end = fill(stage, before, parts);
    const padded = wholePages(end);
    stage.fill(0, end, padded);
    this.#tailAt = -1;
    const written = fs.writeSync(this.#fd, stage, 0, padded, from);
    this.#untried = false;
    const taken = Math.min(written, end);
    if (taken <= before) return 0;
    const tail = taken - (taken % PAGE_BYTES);
    if (tail > 0) stage.copyWithin(0, tail, taken);
    this.#tailAt = from + tail;
    return taken - before;
  }

  /** As `Disk.read`. */
  read(into: Uint8Array, offset: number, length: number, position: number): number {
    this.#stage.take(null);
    const stage = this.#stage.bytes;
    const before = position % PAGE_BYTES;
    const wanted = Math.min(before + length, stage.length);
    const padded = wholePages(wanted);
    const read = fs.readSync(this.#fd, stage, 0, padded, position - before);
    this.#untried = false;
    const bytes = Math.max(0, Math.min(read, wanted) - before);
    copyBytes(stage, before, before + bytes, into, offset);
    return bytes;
  }

  /** The file's end is another than what was written last. */
  forget(): void {
    this.#tailAt = -1;
  }

  /** Another is going to use the stage. */
  leaveStage(): void {
    if (this.#tailAt < 0) return;
    this.#tail ??= new Uint8Array(PAGE_BYTES);
    this.#tail.set(this.#stage.bytes.subarray(0, PAGE_BYTES));
  }

  /** Brings the first `bytes` of the page at `from` to the beginning of the stage. */
  #loadPage(from: number, bytes: number): void {
    const isKnown = this.#tailAt === from;
    if (isKnown && this.#stage.holder === this) return;
    this.#stage.take(null);
    const stage = this.#stage.bytes;
    if (isKnown) stage.set(this.#tail!);
    else {
      const read = fs.readSync(this.#fd, stage, 0, PAGE_BYTES, from);
      if (read < bytes) stage.fill(0, read, bytes);
    }
  }
}

function wholePages(bytes: number): number {
  return Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
}

/** Lays as much of `parts` into `stage` as fits, from `at` on; returns where it ends. */
function fill(stage: Buffer, at: number, parts: readonly Uint8Array[]): number {
  for (const part of parts) {
    const bytes = Math.min(part.length, stage.length - at);
    copyBytes(part, 0, bytes, stage, at);
    at += bytes;
    if (bytes < part.length) break;
  }
  return at;
}
