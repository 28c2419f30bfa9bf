/**
 * The bare pipeline (see bare/format.ts) on its own: `node dist/bench/bare-pipeline.js --conc=1,1000`. With
 * `npm run bench -- --ceiling` it runs beside the real thing.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { FromBare, ToBare } from './bare/process.ts';
import type { BareResult } from './bare/load.ts';
import { Arguments } from './support/arguments.ts';
import { DiskCounters } from './support/disk-counters.ts';
import { Histogram } from './support/histogram.ts';
import { type Point, type PointSpec, round } from './support/measure.ts';
import { resetPeak, sumCpuMs, usageOf } from './support/process-usage.ts';
import { throughputTable } from './support/report.ts';
import { scratchDirectory } from './support/scratch-directory.ts';

const PROGRAM = fileURLToPath(new URL('bare/process.js', import.meta.url));

/** Runs one point on processes of its own, which end with it. */
export async function measureBare(directory: string, disk: DiskCounters, spec: PointSpec): Promise<Point> {
  const children: ChildProcess[] = [];
  const begin = (): ChildProcess => {
    const child = fork(PROGRAM, { execArgv: [], serialization: 'advanced' });
    children.push(child);
    return child;
  };
  const files = ['leader', 'follower-1', 'follower-2'].map((name) => path.join(directory, `bare-${name}`));
  try {
    const [leader, ...followers] = [begin(), begin(), begin()];
    const ports = await Promise.all(
      followers.map((child, i) => ask(child, { type: 'follow', path: files[i + 1]! }, 'port')),
    );
    const { port } = await ask(
      leader,
      { type: 'lead', path: files[0]!, followers: ports.map((answer) => answer.port) },
      'port',
    );
    const pids = [leader, ...followers].map((child) => child.pid!);
    let usages = usageOf(pids);
    let counts = disk.read();
    const cost = { cpuMs: 0, leaderCpuMs: 0, writtenBytes: 0, flushes: 0 };
    const load = begin();
    load.on('message', (message: FromBare) => {
      if (message.type === 'begin') {
        resetPeak(pids);
        usages = usageOf(pids);
        counts = disk.read();
      } else if (message.type === 'measured') {
        const now = usageOf(pids);
        const after = disk.read();
        cost.cpuMs = sumCpuMs(now) - sumCpuMs(usages);
        cost.leaderCpuMs = now[0]!.cpuMs - usages[0]!.cpuMs;
        cost.writtenBytes = (after?.writtenBytes ?? 0) - (counts?.writtenBytes ?? 0);
        cost.flushes = (after?.flushes ?? 0) - (counts?.flushes ?? 0);
        usages = now;
      }
    });
    const { outstanding, connections, valueBytes, warmS, measureS } = spec;
    const job = {
      port,
      outstanding,
      connections,
      valueBytes,
      warmMs: warmS * 1000,
      measureMs: measureS * 1000,
    };
    const { result } = await ask(load, { type: 'load', job }, 'done');
    const peak = Math.max(...usages.map(({ peakRssBytes }) => peakRssBytes));
    return point(spec, result, cost, peak, disk.device !== null);
  } finally {
    await Promise.all(children.map(end));
    for (const file of files) rmSync(file, { force: true });
  }
}

function point(
  spec: PointSpec,
  result: BareResult,
  cost: { cpuMs: number; leaderCpuMs: number; writtenBytes: number; flushes: number },
  peakRssBytes: number,
  counted: boolean,
): Point {
  const latencies = new Histogram(result.latencies, result.maxMs);
  const perOp = (value: number, digits: number): number =>
    round(value / Math.max(1, result.operations), digits);
  return {
    peer: 'bare',
    op: 'push',
    nodes: 3,
    concurrency: spec.outstanding,
    connections: spec.connections,
    value_bytes: spec.valueBytes,
    ops_per_s: Math.round((result.operations / result.elapsedMs) * 1000),
    p50_ms: round(latencies.percentile(0.5), 3),
    p99_ms: round(latencies.percentile(0.99), 3),
    p999_ms: round(latencies.percentile(0.999), 3),
    max_ms: round(latencies.maxMs, 3),
    servers_cpu_us_per_op: perOp(cost.cpuMs * 1000, 2),
    leader_cpu_us_per_op: perOp(cost.leaderCpuMs * 1000, 2),
    client_cpu_us_per_op: perOp(result.cpuMs * 1000, 2),
    device_bytes_per_op: counted ? perOp(cost.writtenBytes, 0) : null,
    flush_per_op: counted ? perOp(cost.flushes, 4) : null,
    peak_rss_mb: Math.round(peakRssBytes / 2 ** 20),
    client_peak_rss_mb: Math.round(result.peakRssBytes / 2 ** 20),
    verified: 0,
    failed: 0,
    missed: 0,
    faults: [],
  };
}

function ask<Type extends FromBare['type']>(
  child: ChildProcess,
  message: ToBare,
  type: Type,
): Promise<Extract<FromBare, { type: Type }>> {
  return new Promise((resolve, reject) => {
    child.on('message', (answer: FromBare) => {
      if (answer.type === type) resolve(answer as Extract<FromBare, { type: Type }>);
      else if (answer.type === 'failed') reject(new Error(answer.message));
    });
    child.once('exit', () => reject(new Error('a process of the bare pipeline ended')));
    child.send(message);
  });
}

function end(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) {
      resolve();
      return;
    }
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const args = new Arguments(
    'node dist/bench/bare-pipeline.js [--conc=1,64,1000,10000] [--conns=1] [--values=64] [--secs=3] [--warm=1] [--data=DIR]',
    { conc: '1,64,1000,10000', conns: '1', values: '64', secs: '3', warm: '1', data: '' },
  );
  const directory = scratchDirectory(args.text('data'));
  const disk = new DiskCounters(directory);
  const points: Point[] = [];
  for (const outstanding of args.numbers('conc', 1)) {
    for (const connections of args.numbers('conns', 1)) {
      for (const valueBytes of args.numbers('values', 4)) {
        if (connections > outstanding) continue;
        points.push(
          await measureBare(directory, disk, {
            operation: 'push',
            outstanding,
            connections,
            valueBytes,
            ratePerS: 0,
            warmS: args.number('warm'),
            measureS: args.number('secs', 0.01),
          }),
        );
      }
    }
  }
  process.stdout.write(`${throughputTable(points)}\n`);
}
