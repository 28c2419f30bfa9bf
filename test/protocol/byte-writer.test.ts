import fc from 'fast-check';
import t from 'tap';

import { ByteWriter, copyBytes, readU16, readU32, readU64, writeU64 } from '../../protocol/byte-writer.ts';
import { safe } from './arbitraries.ts';

t.test('integers come back as they were, little-endian, wherever the buffer grew', async (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 0xff }),
      fc.integer({ min: 0, max: 0xffff }),
      fc.integer({ min: 0, max: 0xffffffff }),
      safe(0),
      fc.integer({ min: 1, max: 20 }),
      (u8, u16, u32, u64, initialBytes) => {
        const out = new ByteWriter(initialBytes);
        out.u8(u8).u16(u16).u32(u32).u64(u64);
        const bytes = out.take();
        t.equal(bytes.length, 15);
        t.equal(bytes[0], u8);
        t.equal(readU16(bytes, 1), u16);
        t.equal(readU32(bytes, 3), u32);
        t.equal(readU64(bytes, 7), u64);
        t.equal(bytes.readUInt32LE(3), u32);
        t.equal(bytes.readBigUInt64LE(7), BigInt(u64));
      },
    ),
  );
});

t.test('a u64 of another writer above 2^53 − 1 is seen to be too large', async (t) => {
  for (const high of [0x200000, 0xffffffff]) {
    const bytes = new Uint8Array(8).fill(0);
    writeU64(bytes, 0, 0);
    new DataView(bytes.buffer).setUint32(4, high, true);
    t.ok(readU64(bytes, 0) > Number.MAX_SAFE_INTEGER);
  }
});

t.test('bytes are copied, whether few or many, from any kind of array', async (t) => {
  fc.assert(
    fc.property(
      fc.oneof(fc.uint8Array({ maxLength: 100 }), fc.uint8Array({ minLength: 500, maxLength: 2000 })),
      fc.nat(2000),
      fc.nat(2000),
      fc.boolean(),
      fc.nat(8),
      (source, a, b, asBuffer, shift) => {
        const [start, end] = [a % (source.length + 1), b % (source.length + 1)].sort((x, y) => x - y) as [
          number,
          number,
        ];
        const from = asBuffer ? Buffer.from(source) : source;
        const out = new ByteWriter(8);
        out.u8(7).bytes(from, start, end).u8(9);
        t.same([...out.take()], [7, ...source.subarray(start, end), 9]);
        const target = new Uint8Array(end - start + 2);
        copyBytes(from, start, end, target, 1);
        t.same([...target], [0, ...source.subarray(start, end), 0]);
        // Through memory that threads share, from and to any place within a word.
        const shared = new Uint8Array(new SharedArrayBuffer(source.length + shift));
        copyBytes(from, 0, source.length, shared, shift);
        const back = Buffer.alloc(end - start);
        copyBytes(shared, start + shift, end + shift, back, 0);
        t.ok(back.equals(source.subarray(start, end)));
      },
    ),
  );
});

t.test('take hands over, clear keeps, patch writes over', async (t) => {
  const out = new ByteWriter(8);
  out.u32(0).u8(5);
  out.patchU32(0, 0xdeadbeef);
  const taken = out.take();
  t.equal(taken.toString('hex'), 'efbeadde05');
  out.u32(1).clear();
  out.u8(6);
  t.equal(out.take().toString('hex'), '06');
  t.equal(taken.toString('hex'), 'efbeadde05', 'what was taken stays');
});
