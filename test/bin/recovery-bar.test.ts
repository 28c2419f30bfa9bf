import { PassThrough } from 'node:stream';
import t from 'tap';
import { RecoveryBar } from '../../bin/support/recovery-bar.ts';
import type { Ending } from '../support/ending.ts';

/** A stream that says whether it is a terminal, and what was written to it. */
function stream(isTTY: boolean): { stream: NodeJS.WriteStream; text(): string } {
  let text = '';
  const through = new PassThrough();
  through.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const rest = { isTTY, columns: 100, rows: 20, cursorTo: () => true, clearLine: () => true };
  return {
    stream: Object.assign(through, rest) as unknown as NodeJS.WriteStream,
    text: () => text,
  };
}

function lines(): { info: (fields: object, message: string) => void; said: string[] } {
  const said: string[] = [];
  return { said, info: (fields, message) => said.push(`${message} ${JSON.stringify(fields)}`) };
}

const MIB = 1 << 20;

/** Time as the bar sees it. */
function clock(t: Ending): { nowMs: number } {
  const original = performance.now.bind(performance);
  const faked = { nowMs: 0 };
  performance.now = () => faked.nowMs;
  t.teardown(() => (performance.now = original));
  return faked;
}

t.test('what is quick is not spoken of', async (t) => {
  const time = clock(t);
  const out = stream(true);
  const log = lines();
  const bar = new RecoveryBar(log, out.stream);
  time.nowMs += 900;
  bar.update({ doneBytes: 5 * MIB, totalBytes: 10 * MIB });
  bar.end();
  t.equal(out.text(), '');
  t.same(log.said, []);
});

t.test('a terminal gets a bar, which goes away', async (t) => {
  const time = clock(t);
  const out = stream(true);
  const log = lines();
  const bar = new RecoveryBar(log, out.stream);
  time.nowMs += 1_001;
  bar.update({ doneBytes: 5 * MIB, totalBytes: 10 * MIB });
  time.nowMs += 200;
  bar.update({ doneBytes: 6 * MIB, totalBytes: 10 * MIB });
  bar.end();
  bar.end();
  t.match(out.text(), /reading the data directory \[.*\] 50 %, 5 of 10 MiB/);
  t.same(log.said, []);
});

t.test('a log gets a line now and then', async (t) => {
  const time = clock(t);
  const out = stream(false);
  const log = lines();
  const bar = new RecoveryBar(log, out.stream);
  for (let i = 0; i <= 200; i++) {
    bar.update({ doneBytes: i * MIB, totalBytes: 200 * MIB });
    time.nowMs += 100;
  }
  bar.end();
  bar.update({ doneBytes: 200 * MIB, totalBytes: 200 * MIB });
  t.equal(out.text(), '');
  t.same(log.said, [
    'reading the data directory: 10 of 200 MiB {"percent":5}',
    'reading the data directory: 110 of 200 MiB {"percent":55}',
  ]);
});
