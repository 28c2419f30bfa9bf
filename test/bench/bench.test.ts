// What the benchmarks' figures rest on, and one of them from end to end, for a moment.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { throughputChart } from '../../bench/support/chart.ts';
import { Histogram } from '../../bench/support/histogram.ts';
import type { Ledger } from '../../bench/support/load.ts';
import type { Point } from '../../bench/support/measure.ts';
import { medians } from '../../bench/support/medians.ts';
import { NumberSet, ValueMaker } from '../../bench/support/values.ts';
import { verifyStacks } from '../../bench/support/verify.ts';
import { Client } from '../../lib/client/index.ts';
import { run } from '../e2e/support/run-command.ts';
import { FakeNode } from '../server/support/fake-node.ts';

const THROUGHPUT = path.resolve(import.meta.dirname, '../../bench/throughput.js');

t.test('percentiles are right to within 2 %', async () => {
  const durations = fc.array(fc.double({ min: 0.001, max: 100_000, noNaN: true }), { minLength: 1 });
  fc.assert(
    fc.property(durations, fc.double({ min: 0.001, max: 1, noNaN: true }), (all, share) => {
      const histogram = new Histogram();
      for (const ms of all) histogram.record(ms);
      const sorted = all.toSorted((a, b) => a - b);
      const exact = sorted[Math.max(1, Math.ceil(all.length * share)) - 1]!;
      return Math.abs(histogram.percentile(share) - exact) <= 0.02 * exact + 0.0002;
    }),
  );
});

const point: Point = {
  ...{ peer: 'cordwood', op: 'push', nodes: 3, concurrency: 1, connections: 1, value_bytes: 64 },
  ...{ ops_per_s: 100, p50_ms: 1, p99_ms: 5, p999_ms: 9, max_ms: 9 },
  ...{ servers_cpu_us_per_op: 1, leader_cpu_us_per_op: 1, client_cpu_us_per_op: 1 },
  ...{ device_bytes_per_op: null, flush_per_op: null, peak_rss_mb: 1, client_peak_rss_mb: 1 },
  ...{ verified: 10, failed: 0, missed: 0, faults: [] },
};

t.test('of repetitions the median is shown, and every fault', async (t) => {
  const points = [300, 100, 200].map((ops_per_s) => ({ ...point, ops_per_s, faults: [`at ${ops_per_s}`] }));
  t.match(medians([...points, { ...point, concurrency: 2 }]), [
    { ops_per_s: 200, verified: 30, faults: ['at 300', 'at 100', 'at 200'] },
    { concurrency: 2, ops_per_s: 100 },
  ]);
});

t.test('a line of the chart for each load and percentile', async (t) => {
  const svg = throughputChart([point, { ...point, concurrency: 10 }, { ...point, op: 'pop' }]);
  t.equal([...svg.matchAll(/<polyline /g)].length, 2 + 2 * 2);
  t.equal([...svg.matchAll(/stroke-dasharray/g)].length, 2, 'the 99th percentile is told from the median');
  t.match(svg, /cordwood pop 64 B, 1 connection p99/);
});

t.test('what is lost, doubled or made up is found', async (t) => {
  const client = Client.local(new FakeNode());
  t.teardown(() => client.close());
  const worker = 7;
  const check = async (
    there: readonly number[],
    acknowledged: readonly number[],
    wanted: unknown,
  ): Promise<void> => {
    for (const number of there) {
      const values = new ValueMaker(worker, 16);
      while (values.next() < number);
      await client.push('s', values.bytes);
    }
    const pushed = new NumberSet();
    for (const number of acknowledged) pushed.add(number);
    const ledger: Ledger = {
      ...{ worker, made: 40, pushed, popped: [], faults: [] },
      ...{ unknownPushes: 0, unknownPops: 0, refused: 0 },
    };
    t.match(await verifyStacks(client, ['s'], [ledger]), wanted);
  };
  await check([0, 1, 2, 39], [0, 1, 2, 39], { verified: 4, faults: [] });
  await check([0, 2], [0, 1, 2], { verified: 2, faults: ['1 acknowledged pushes are lost'] });
  await check([0, 1], [0], { verified: 1, faults: ['1 pushes that failed are there'] });
  await check([0, 1, 1], [0, 1], { faults: ['value 7/1 is there twice'] });
  await check([40], [], { faults: ['a value is there that was not made yet'] });
});

t.test('npm run bench, for a moment', async (t) => {
  const directory = t.testdir();
  const chart = path.join(directory, 'chart.svg');
  const load = ['--ops=push,top', '--conc=1,64', '--secs=0.2', '--warm=0.1', '--heat=0'];
  const args = [THROUGHPUT, ...load, `--data=${directory}`, `--chart=${chart}`, '--json'];
  const { code, stdout, stderr } = await run(process.execPath, args);
  t.equal(code, 0, stderr);
  const points = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Point);
  t.same(
    points.map(({ op, concurrency }) => [op, concurrency]),
    [
      ['push', 1],
      ['push', 64],
      ['top', 1],
      ['top', 64],
    ],
  );
  for (const { verified, faults, failed, p50_ms, p99_ms, ops_per_s, servers_cpu_us_per_op } of points) {
    t.same([failed, faults], [0, []]);
    t.ok(verified > 0 && ops_per_s > 0 && p50_ms > 0 && p99_ms >= p50_ms && servers_cpu_us_per_op >= 0);
  }
  t.match(readFileSync(chart, 'utf8'), /^<svg /);
});
