/**
 * Preloaded into nodes (`--import …/slow-disk.js?ms=5`) to see how they do on a slow disk: each fdatasync and fsync
 * takes so much longer. It blocks the thread that syncs, as a slow disk does.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const delayMs = Number(new URL(import.meta.url).searchParams.get('ms') ?? 0);
const nothing = new Int32Array(new SharedArrayBuffer(4));

for (const name of ['fdatasyncSync', 'fsyncSync'] as const) {
  const real = fs[name];
  fs[name] = (fd) => {
    real(fd);
    Atomics.wait(nothing, 0, 0, delayMs);
  };
}
syncBuiltinESMExports();
