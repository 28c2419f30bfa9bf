import { copyOf } from '../../protocol/byte-writer.ts';

/** The unit in which a crash tears writes. */
export const SECTOR_BYTES = 512;

/** A change of a file that is not surely on the disk yet. */
export interface Write {
  readonly position: number;
  readonly bytes: Uint8Array;
  /** What lies behind `position` is cut off, instead. */
  readonly cuts?: true;
}

/** A file of a `MemoryDisk`: what reads see, what a crash surely leaves, and the writes in between. */
export interface MemoryFile {
  /** What reads see. */
  live: Uint8Array;
  liveBytes: number;
  /** What surely survives a crash. */
  durable: Uint8Array;
  durableBytes: number;
  pending: Write[];
}

export function emptyFile(): MemoryFile {
  return { live: new Uint8Array(0), liveBytes: 0, durable: new Uint8Array(0), durableBytes: 0, pending: [] };
}

/** A file of its own in the same state. */
export function copyFile(file: MemoryFile): MemoryFile {
  return { ...file, live: copyOf(file.live), durable: copyOf(file.durable), pending: [...file.pending] };
}

/** Carries `write` out on the first `length` bytes of `target`, which is replaced where it is too short. */
export function place(
  target: Uint8Array,
  length: number,
  write: Write,
): { bytes: Uint8Array; length: number } {
  const end = write.position + write.bytes.length;
  let bytes = target;
  if (end > bytes.length) {
    bytes = new Uint8Array(Math.max(end, bytes.length * 2));
    bytes.set(target.subarray(0, length));
  }
  bytes.set(write.bytes, write.position);
  return { bytes, length: Math.max(length, end) };
}

/** `write` has reached the disk. */
export function keep(file: MemoryFile, write: Write): void {
  if (write.cuts === true) {
    file.durable.fill(0, write.position, file.durableBytes);
    file.durableBytes = Math.min(file.durableBytes, write.position);
    return;
  }
  ({ bytes: file.durable, length: file.durableBytes } = place(file.durable, file.durableBytes, write));
}

/** A crash while `write` is on its way: all of it reaches the disk, nothing, the first sectors, or any of them. */
export function tear(file: MemoryFile, write: Write, choose: (below: number) => number): void {
  const fate = choose(4);
  if (fate === 0) return;
  if (write.cuts === true) {
    keep(file, write);
    return;
  }
  const sectors =
    Math.ceil((write.position + write.bytes.length) / SECTOR_BYTES) -
    Math.floor(write.position / SECTOR_BYTES);
  const kept = fate === 1 ? sectors : fate === 2 ? choose(sectors + 1) : sectors;
  let start = 0;
  for (let sector = 0; sector < kept; sector++) {
    const boundary = (Math.floor((write.position + start) / SECTOR_BYTES) + 1) * SECTOR_BYTES;
    const end = Math.min(write.bytes.length, boundary - write.position);
    if (fate !== 3 || choose(2) === 1) {
      keep(file, { position: write.position + start, bytes: write.bytes.subarray(start, end) });
    }
    start = end;
  }
}
