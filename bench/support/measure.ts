import { Client } from '../../lib/client/index.ts';
import type { Cluster } from './cluster.ts';
import type { DiskCounters } from './disk-counters.ts';
import { fill } from './fill.ts';
import { type Ledger, type Operation, stackNames } from './load.ts';
import type { CombinedResult, Loaders } from './loaders.ts';
import { resetPeak, sumCpuMs, usageOf } from './process-usage.ts';
import { verifyStacks } from './verify.ts';

export interface PointSpec {
  readonly operation: Operation;
  readonly outstanding: number;
  readonly connections: number;
  readonly valueBytes: number;
  readonly ratePerS: number;
  /** Stacks the calls go round; default 1. */
  readonly stacks?: number;
  /** Values on the stack before; default as many as the operation needs. */
  readonly depth?: number;
  readonly warmS: number;
  readonly measureS: number;
}

/** One measured point, as it is printed with `--json`. */
export interface Point {
  readonly peer: string;
  readonly op: string;
  readonly nodes: number;
  readonly concurrency: number;
  readonly connections: number;
  readonly value_bytes: number;
  /** Calls a second that were due; absent in a closed loop. */
  readonly rate?: number;
  readonly ops_per_s: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly p999_ms: number;
  readonly max_ms: number;
  /** All nodes together. */
  readonly servers_cpu_us_per_op: number;
  readonly leader_cpu_us_per_op: number;
  readonly client_cpu_us_per_op: number;
  /** All nodes together; null where the system does not count. */
  readonly device_bytes_per_op: number | null;
  readonly flush_per_op: number | null;
  /** Of the largest node. */
  readonly peak_rss_mb: number;
  readonly client_peak_rss_mb: number;
  /** Values accounted for afterwards, one by one. */
  readonly verified: number;
  readonly failed: number;
  readonly missed: number;
  readonly faults: readonly string[];
}

/** Prefilled values carry this in place of a load's number. */
const PREFILL_WORKER = 0xffff_fff0;
/** No more pops than this are expected. */
const MAX_POPS_PER_S = 600_000;
const POPS_PER_S_AND_SLOT = 15_000;

/** Measures one point on a running cluster, on a stack of its own, and checks the outcome. */
export async function measure(
  cluster: Cluster,
  loaders: Loaders,
  disk: DiskCounters,
  stack: string,
  spec: PointSpec,
): Promise<Point> {
  await using client = await Client.connect({ addresses: cluster.addresses, timeoutMs: 30_000 });
  const prefilled = await prefill(client, stack, spec);
  await loaders.connect(cluster.addresses, spec.connections);
  const leader = await cluster.leader();
  const { pids } = cluster;
  resetPeak(pids);
  const leaderAt = pids.indexOf(leader.pid);
  let usages = usageOf(pids);
  let counts = disk.read();
  let cpuMs = 0;
  let leaderCpuMs = 0;
  let writtenBytes: number | null = null;
  let flushes: number | null = null;
  const result = await loaders.run(
    {
      operation: spec.operation,
      stack,
      stacks: spec.stacks ?? 1,
      outstanding: spec.outstanding,
      valueBytes: spec.valueBytes,
      ratePerS: spec.ratePerS,
      warmMs: spec.warmS * 1000,
      measureMs: spec.measureS * 1000,
    },
    {
      begin: () => {
        usages = usageOf(pids);
        counts = disk.read();
      },
      end: () => {
        const now = usageOf(pids);
        cpuMs = sumCpuMs(now) - sumCpuMs(usages);
        leaderCpuMs = now[leaderAt]!.cpuMs - usages[leaderAt]!.cpuMs;
        const after = disk.read();
        if (counts !== null && after !== null) {
          writtenBytes = after.writtenBytes - counts.writtenBytes;
          flushes = after.flushes - counts.flushes;
        }
        usages = now;
      },
    },
  );
  const ledgers = prefilled === null ? result.ledgers : [...result.ledgers, prefilled];
  const names = stackNames(stack, spec.stacks ?? 1);
  const { verified, faults } = await verifyStacks(client, names, ledgers);
  return point(
    cluster,
    spec,
    result,
    { cpuMs, leaderCpuMs, writtenBytes, flushes },
    verified,
    faults,
    usages,
  );
}

const HEAT_OUTSTANDING = 512;

/**
 * Loads a new cluster for a while before anything is measured: a server is judged by how it runs, and code that has
 * run a few hundred times only is several times slower in Node.
 */
export async function heat(cluster: Cluster, loaders: Loaders, seconds: number): Promise<void> {
  if (seconds === 0) return;
  await using client = await Client.connect({ addresses: cluster.addresses, timeoutMs: 30_000 });
  for (const outstanding of [HEAT_OUTSTANDING, 1]) {
    await loaders.connect(cluster.addresses, 1);
    const job = { operation: 'push', stack: 'heat', outstanding, valueBytes: 64, ratePerS: 0 } as const;
    await loaders.run({ ...job, warmMs: 0, measureMs: seconds * 500 }, { begin: () => {}, end: () => {} });
  }
  await client.drop('heat');
}

interface Cost {
  readonly cpuMs: number;
  readonly leaderCpuMs: number;
  readonly writtenBytes: number | null;
  readonly flushes: number | null;
}

function point(
  cluster: Cluster,
  spec: PointSpec,
  result: CombinedResult,
  cost: Cost,
  verified: number,
  faults: readonly string[],
  usages: readonly { peakRssBytes: number }[],
): Point {
  const { operations, latencies } = result;
  const perOp = (value: number, digits: number): number => round(value / Math.max(1, operations), digits);
  return {
    peer: 'cordwood',
    op: spec.operation,
    nodes: cluster.nodes.length,
    concurrency: spec.outstanding,
    connections: spec.connections,
    value_bytes: spec.valueBytes,
    ...(spec.ratePerS > 0 ? { rate: spec.ratePerS } : {}),
    ops_per_s: Math.round(result.operationsPerS),
    p50_ms: round(latencies.percentile(0.5), 3),
    p99_ms: round(latencies.percentile(0.99), 3),
    p999_ms: round(latencies.percentile(0.999), 3),
    max_ms: round(latencies.maxMs, 3),
    servers_cpu_us_per_op: perOp(cost.cpuMs * 1000, 2),
    leader_cpu_us_per_op: perOp(cost.leaderCpuMs * 1000, 2),
    client_cpu_us_per_op: perOp(result.cpuMs * 1000, 2),
    device_bytes_per_op: cost.writtenBytes === null ? null : perOp(cost.writtenBytes, 0),
    flush_per_op: cost.flushes === null ? null : perOp(cost.flushes, 4),
    peak_rss_mb: Math.round(Math.max(...usages.map(({ peakRssBytes }) => peakRssBytes)) / 2 ** 20),
    client_peak_rss_mb: Math.round(result.peakRssBytes / 2 ** 20),
    verified,
    failed: result.ledgers.reduce((sum, l) => sum + l.refused + l.unknownPushes + l.unknownPops, 0),
    missed: result.missed,
    faults: result.error === '' ? faults : [...faults, `calls failed, the last: ${result.error}`],
  };
}

/** Puts on the stack what the operation needs there. */
async function prefill(client: Client, stack: string, spec: PointSpec): Promise<Ledger | null> {
  const { operation, outstanding, valueBytes } = spec;
  const pops = Math.min(MAX_POPS_PER_S, POPS_PER_S_AND_SLOT * outstanding) * (spec.warmS + spec.measureS);
  const count =
    spec.depth ?? (operation === 'pop' ? Math.ceil(pops) : operation === 'push' ? 0 : outstanding);
  if (count === 0) return null;
  await fill(client, stack, PREFILL_WORKER, count, valueBytes, 'many');
  const bits = new Uint32Array(Math.ceil(count / 32)).fill(0xffff_ffff);
  return {
    worker: PREFILL_WORKER,
    made: count,
    pushed: { bits, size: count },
    unknownPushes: 0,
    unknownPops: 0,
    refused: 0,
    popped: [],
    faults: [],
  };
}

export function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
