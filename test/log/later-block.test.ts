import t from 'tap';
import { BlockBuilder } from '../../lib/log/block-builder.ts';
import { BlockSieve } from '../../lib/log/block-sieve.ts';
import { CrcShift, shiftBy } from '../../lib/log/crc-shift.ts';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { encodeRecord } from '../../lib/log/record.ts';
import { BLOCK_HEADER_BYTES, BLOCK_MAGIC, decodeSegmentHeader } from '../../lib/log/segment-format.ts';
import type { OpenedLogFiles } from '../../lib/log/open-log-files.ts';
import { crcOf } from '../../protocol/crc.ts';
import { entry, open, tinySizes, writeOf } from './helpers.ts';

const MIB = 1 << 20;
/** More than recovery reads at a time. */
const FILE_BYTES = 12 * MIB;
const sizes = { ...tinySizes, minSegmentBytes: FILE_BYTES, maxSegmentBytes: FILE_BYTES };

/** A short log in a file of `FILE_BYTES`, stopped in order; `behind` lies behind its end, as in a recycled file. */
function logBefore(behind: (end: number) => Uint8Array): { disk: MemoryDisk; path: string; end: number } {
  const disk = new MemoryDisk();
  const { engine } = open(disk, 1, sizes);
  for (let i = 1; i <= 3; i++)
    engine.write([writeOf(i, [entry(i, 1, i)], i === 1 ? { term: 1, vote: 1 } : null)]);
  engine.close();
  const { path, writeOffset: end } = open(disk.clone(), 1, sizes).engine.image.current;
  write(disk, path, behind(end), end);
  return { disk, path, end };
}

function write(disk: MemoryDisk, path: string, bytes: Uint8Array, position: number): void {
  const fd = disk.open(path, 'write');
  disk.write(fd, [bytes], position);
  disk.datasync(fd);
  disk.close(fd);
}

/** Opens the log; `readBytes` is how much was read for that. */
function reopen(disk: MemoryDisk): { opened: OpenedLogFiles; readBytes: number } {
  let readBytes = 0;
  disk.onCall = ({ operation, bytes }) => {
    if (operation === 'read') readBytes += bytes;
    return undefined;
  };
  const opened = open(disk, 2, sizes);
  disk.onCall = null;
  return { opened, readBytes };
}

/** What a client may put into a value: a block's header as far as it can be known. */
function putLookalike(value: Buffer, at: number, bytes: number, count: number): void {
  value.writeUInt32LE(BLOCK_MAGIC, at);
  value.writeUInt32LE(bytes, at + 8);
  value.writeUInt32LE(count, at + 12);
  value.writeBigUInt64LE(50n, at + 16);
}

function blockOf(disk: MemoryDisk, path: string, sequence: number, records: readonly Uint8Array[]): Buffer {
  const header = decodeSegmentHeader(disk.content(path));
  if (typeof header === 'string') throw new Error(header);
  const builder = new BlockBuilder();
  builder.addRecords({ ...writeOf(1, []), records }, () => {});
  return Buffer.concat(builder.seal(header.nonce, sequence, 100));
}

t.test(
  'values full of what looks like block headers are read a few times at the start, not for each',
  async (t) => {
    const { disk } = logBefore((end) => {
      const value = Buffer.alloc(FILE_BYTES - end);
      for (let i = 0; i < 400; i++) putLookalike(value, i * 32, 8 * MIB, 1000);
      return value;
    });
    const { opened, readBytes } = reopen(disk);
    t.equal(opened.recovery.damage, null);
    t.equal(opened.recovery.lastIndex, 3);
    t.ok(readBytes < 4 * FILE_BYTES, `${readBytes} of ${FILE_BYTES} bytes`);
  },
);

t.test('lookalikes that share a long chain of true records do not have it walked for each', async (t) => {
  const { disk, path } = logBefore(() => new Uint8Array(0));
  const header = decodeSegmentHeader(disk.content(path));
  if (typeof header === 'string') throw new Error(header);
  const file = Buffer.alloc(MIB);
  const chain = MIB / 2;
  const lookalikes = 1000;
  const record = encodeRecord(1, 1, 7, 0, new Uint8Array(0));
  const records = Math.floor((file.length - chain) / record.length);
  for (let i = 0; i < records; i++) file.set(record, chain + i * record.length);
  for (let i = 0; i < lookalikes; i++) {
    const at = i * 72;
    const first = at + BLOCK_HEADER_BYTES;
    // A record of its own for each, which reaches to where the chain begins.
    const body = file.subarray(first + record.length, chain);
    file.set(encodeRecord(1, 1, 7, 0, body).subarray(0, record.length), first);
    putLookalike(file, at, chain - first + records * record.length, records + 1);
  }
  let looks = 0;
  const sieve = new BlockSieve(header, file.length, (at) => {
    looks++;
    return { bytes: file, at };
  });
  for (let i = 0; i < lookalikes; i++) if (sieve.isBlock(file, i * 72, i * 72, 5)) t.fail('it is no block');
  t.ok(looks >= records, 'they do lead there');
  t.ok(looks <= records + lookalikes + 1, `${looks} looks at ${records + lookalikes} records`);
});

t.test('a later block is found, wherever it lies and whatever looks like it before it', async (t) => {
  const four = 4 * MIB;
  for (const place of [8, four - 40, four - 32, four - 24, four - 8, 9 * MIB]) {
    for (const [count, bodyBytes] of [
      [0, 0],
      [1, 100],
      [3, MIB / 2],
      [300, 0],
      [1, 2 * MIB],
    ] as const) {
      const { disk, path, end } = logBefore((end) => {
        const value = Buffer.alloc(FILE_BYTES - end);
        for (let at = 0; at < 4096; at += 32) putLookalike(value, at, 3 * MIB, 3);
        return value;
      });
      const records = Array.from({ length: count }, () =>
        encodeRecord(1, 1, 9, 0, new Uint8Array(bodyBytes)),
      );
      const block = blockOf(disk, path, 12, records);
      // Rot in the last body does not make it another block.
      if (bodyBytes > 0) block[block.length - bodyBytes] = 1;
      write(disk, path, block, end + place);
      const { damage } = reopen(disk).opened.recovery;
      t.match(damage?.reason, new RegExp(`a later one at ${end + place} is whole`));
    }
  }
});

t.test('a checksum, shifted, goes on over what follows', async (t) => {
  const bytes = Buffer.from('the quick brown fox jumps over the lazy dog, again and again');
  for (const pieceBytes of [1, 5, 12]) {
    const shifts = new CrcShift(pieceBytes);
    for (let pieces = 0; pieces * pieceBytes <= bytes.length; pieces++) {
      const middle = bytes.length - pieces * pieceBytes;
      const joined = shiftBy(crcOf(bytes, 0, middle), shifts.of(pieces)) ^ crcOf(bytes, middle, bytes.length);
      t.equal(joined >>> 0, crcOf(bytes, 0, bytes.length));
    }
  }
});
