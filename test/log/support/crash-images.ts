import { createHash } from 'node:crypto';
import type { MemoryDisk } from '../../../lib/log/memory-disk.ts';
import { chooser } from '../helpers.ts';

type Choose = (below: number) => number;

/**
 * What a crash at this moment may leave, each as a disk of its own: un-synced writes kept, lost or torn, sector by
 * sector; un-synced names kept up to any point, as a journal keeps them. All of it, if that is no more than `limit`;
 * otherwise the extremes and a sample of `limit`. Images that are alike come once.
 */
export function crashImages(disk: MemoryDisk, limit: number, seed: number): MemoryDisk[] {
  const images = new Map<string, MemoryDisk>();
  const take = (choose: Choose): void => {
    const image = disk.fork();
    image.crash(choose);
    const print = fingerprint(image);
    if (!images.has(print)) images.set(print, image);
  };
  if (everything(take, limit)) return [...images.values()];
  images.clear();
  for (const names of [false, true]) {
    for (const data of [0, 1]) take(extreme(names, data));
  }
  const choose = chooser(seed);
  for (let i = 0; i < limit; i++) take(choose);
  // Only the process died: the kernel has everything.
  const killed = disk.fork();
  images.set(fingerprint(killed), killed);
  return [...images.values()];
}

/** Goes through every sequence of choices, like an odometer. False: there are more than `limit`. */
function everything(take: (choose: Choose) => void, limit: number): boolean {
  let wheels: { at: number; of: number }[] = [];
  for (let run = 0; run < limit; run++) {
    let wheel = 0;
    take((below) => {
      if (wheel === wheels.length) wheels.push({ at: 0, of: below });
      return wheels[wheel++]!.at;
    });
    while (wheels.length > 0 && wheels.at(-1)!.at === wheels.at(-1)!.of - 1) wheels.pop();
    if (wheels.length === 0) return true;
    wheels = wheels.map((w, i) => (i === wheels.length - 1 ? { at: w.at + 1, of: w.of } : w));
  }
  return false;
}

/** All names or none, and every write as a whole (fate 1) or not at all (fate 0). */
function extreme(names: boolean, data: number): Choose {
  let first = true;
  return (below) => {
    if (!first) return data;
    first = false;
    return names ? below - 1 : 0;
  };
}

/** What the files hold, in short. */
export function fingerprint(disk: MemoryDisk): string {
  const hash = createHash('sha1');
  for (const path of disk.files()) {
    const content = disk.content(path);
    hash.update(`${path} ${content.length}\n`).update(content);
  }
  return hash.digest('base64');
}
