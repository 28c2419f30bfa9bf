/** A process that does nothing but read the log and the snapshots of a directory and sum them: the measure of a restart. */
import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';

const startedMs = performance.now();
const buffer = new Uint8Array(1 << 20);
let bytes = 0;
for (const [directory, ending] of [
  ['log', '.log'],
  ['snapshots', '.snap'],
] as const) {
  const parent = path.join(process.argv[2]!, directory);
  for (const name of readdirSync(parent).filter((each) => each.endsWith(ending))) {
    const fd = openSync(path.join(parent, name), 'r');
    for (let length = readSync(fd, buffer); length > 0; length = readSync(fd, buffer)) {
      crc32(buffer.subarray(0, length));
      bytes += length;
    }
    closeSync(fd);
  }
}
process.stdout.write(JSON.stringify({ bytes, ms: performance.now() - startedMs }));
