import fc from 'fast-check';
import t from 'tap';

import { writeU32 } from '../../protocol/byte-writer.ts';
import { FrameSplitter, nextFrameEnd } from '../../protocol/frame-splitter.ts';

const MAX = 4096;

function frameOf(bodyBytes: number, fill: number): Uint8Array {
  const frame = new Uint8Array(12 + bodyBytes).fill(fill);
  writeU32(frame, 0, frame.length - 4);
  return frame;
}

const frames = fc.array(
  fc
    .tuple(fc.oneof({ weight: 9, arbitrary: fc.nat(60) }, fc.nat(MAX - 12)), fc.integer({ min: 1, max: 255 }))
    .map(([n, fill]) => frameOf(n, fill)),
  { maxLength: 30 },
);

/** Cuts `bytes` at random places; chunks are copies, so that nothing can lean on their neighbours. */
function cut(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [...new Set(cuts.map((c) => c % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((place, i) => bytes.slice(place, places[i] ?? bytes.length));
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

t.test('any chunking gives the same frames', async (t) => {
  fc.assert(
    fc.property(frames, fc.array(fc.nat(), { maxLength: 40 }), (all, cuts) => {
      const splitter = new FrameSplitter(MAX);
      const seen: string[] = [];
      for (const chunk of cut(Buffer.concat(all), cuts)) {
        splitter.push(chunk, (bytes, start, end) => seen.push(hex(bytes.subarray(start, end))));
      }
      t.same(seen, all.map(hex));
      t.equal(splitter.pendingBytes, 0);
    }),
    { numRuns: 300 },
  );
});

t.test('runs: every stretch begins at a frame, and together they are the stream', async (t) => {
  fc.assert(
    fc.property(frames, fc.array(fc.nat(), { maxLength: 10 }), (all, cuts) => {
      const stream = Buffer.concat(all);
      const splitter = new FrameSplitter(MAX);
      let seen = '';
      for (const chunk of cut(stream, cuts)) {
        splitter.pushRuns(chunk, (bytes, start, end) => {
          let at = start;
          for (let next; (next = nextFrameEnd(bytes, at, end, MAX)) !== -1; at = next);
          seen += hex(bytes.subarray(start, at));
          return at;
        });
      }
      t.equal(seen, hex(stream));
    }),
    { numRuns: 300 },
  );
});

t.test('whole frames are handed over in place', async (t) => {
  const chunk = Buffer.concat([frameOf(5, 1), frameOf(6, 2), frameOf(7, 3).subarray(0, 9)]);
  const places: [boolean, number, number][] = [];
  const splitter = new FrameSplitter(MAX);
  splitter.push(chunk, (bytes, start, end) => places.push([bytes === chunk, start, end]));
  t.same(places, [
    [true, 0, 17],
    [true, 17, 35],
  ]);
  t.equal(splitter.pendingBytes, 9);
});

t.test('a bad length is refused before anything is kept of its frame', async (t) => {
  for (const [announced, code] of [
    [MAX - 3, 'TOO_LARGE'],
    [0xffffffff, 'TOO_LARGE'],
    [7, 'PROTOCOL_ERROR'],
    [0, 'PROTOCOL_ERROR'],
  ] as const) {
    const head = new Uint8Array(4);
    writeU32(head, 0, announced);
    for (let at = 0; at <= 4; at++) {
      const splitter = new FrameSplitter(MAX);
      splitter.push(frameOf(3, 9), () => {});
      t.throws(
        () => {
          splitter.push(head.subarray(0, at), () => t.fail('no frame'));
          splitter.push(head.subarray(at), () => t.fail('no frame'));
        },
        { code },
      );
    }
  }
  const largest = new FrameSplitter(MAX);
  let count = 0;
  largest.push(frameOf(MAX - 12, 1), () => count++);
  t.equal(count, 1, 'a frame of exactly the limit passes');
});

t.test('memory follows what has arrived, not what is announced', async (t) => {
  const max = 1 << 30;
  const announced = new Uint8Array(100);
  writeU32(announced, 0, max - 4);
  const before = process.memoryUsage().arrayBuffers;
  const splitters = Array.from({ length: 1000 }, () => {
    const splitter = new FrameSplitter(max);
    splitter.push(announced, () => t.fail('no frame'));
    return splitter;
  });
  const grown = process.memoryUsage().arrayBuffers - before;
  t.ok(grown < 2_000_000, `1000 announcements of 1 GiB took ${grown} bytes`);
  t.equal(
    splitters.reduce((sum, s) => sum + s.pendingBytes, 0),
    100_000,
  );
});

t.test('a consumer that leaves a whole frame behind is told so', async (t) => {
  const splitter = new FrameSplitter(MAX);
  t.throws(() => splitter.pushRuns(frameOf(1, 1), (_bytes, start) => start), { code: 'PROTOCOL_ERROR' });
});
