import type { DiskCounters } from '../support/disk-counters.ts';
import { type Point, type PointSpec, round } from '../support/measure.ts';
import { resetPeak, sumCpuMs, usageOf } from '../support/process-usage.ts';

/** A system that takes part in a comparison: started once, measured many times, in turn with the others. */
export interface Contestant {
  readonly name: string;
  /** What it promises and how it was set up, for the reader. */
  readonly terms: string;
  /** Null: it does not do this kind of load. */
  measure(spec: PointSpec): Promise<Point | null>;
  stop(): Promise<void>;
}

/** Who cannot take part, and why. */
export interface Absent {
  readonly name: string;
  readonly why: string;
}

/** Null for who cannot take part, with a line that says so. */
export function present<T extends object>(invited: T | Absent): T | null {
  if (!('why' in invited)) return invited;
  process.stderr.write(`${invited.name} is left out: ${invited.why}\n`);
  return null;
}

export interface LoadFigures {
  readonly operations: number;
  readonly elapsedMs: number;
  readonly cpuMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

/** Counts what the servers use while a load runs, and makes a point of both. */
export class Meter {
  readonly #disk: DiskCounters;
  readonly #pids: readonly number[];
  #usages: ReturnType<typeof usageOf>;
  #counts: ReturnType<DiskCounters['read']> = null;
  #cpuMs = 0;
  #writtenBytes = 0;
  #flushes = 0;

  constructor(disk: DiskCounters, pids: readonly number[]) {
    this.#disk = disk;
    this.#pids = pids;
    this.#usages = usageOf(pids);
    resetPeak(pids);
  }

  begin(): void {
    this.#usages = usageOf(this.#pids);
    this.#counts = this.#disk.read();
  }

  end(): void {
    const now = usageOf(this.#pids);
    this.#cpuMs = sumCpuMs(now) - sumCpuMs(this.#usages);
    this.#usages = now;
    const counts = this.#disk.read();
    this.#writtenBytes = (counts?.writtenBytes ?? 0) - (this.#counts?.writtenBytes ?? 0);
    this.#flushes = (counts?.flushes ?? 0) - (this.#counts?.flushes ?? 0);
  }

  point(peer: string, spec: PointSpec, load: LoadFigures): Point {
    const perOp = (value: number, digits: number): number =>
      round(value / Math.max(1, load.operations), digits);
    const counted = this.#disk.device !== null;
    return {
      peer,
      op: spec.operation,
      nodes: this.#pids.length,
      concurrency: spec.outstanding,
      connections: spec.connections,
      value_bytes: spec.valueBytes,
      ops_per_s: Math.round((load.operations / load.elapsedMs) * 1000),
      p50_ms: round(load.p50Ms, 3),
      p99_ms: round(load.p99Ms, 3),
      p999_ms: round(load.p999Ms, 3),
      max_ms: round(load.maxMs, 3),
      servers_cpu_us_per_op: perOp(this.#cpuMs * 1000, 2),
      leader_cpu_us_per_op: 0,
      client_cpu_us_per_op: perOp(load.cpuMs * 1000, 2),
      device_bytes_per_op: counted ? perOp(this.#writtenBytes, 0) : null,
      flush_per_op: counted ? perOp(this.#flushes, 4) : null,
      peak_rss_mb: Math.round(Math.max(...this.#usages.map(({ peakRssBytes }) => peakRssBytes)) / 2 ** 20),
      client_peak_rss_mb: 0,
      verified: 0,
      failed: 0,
      missed: 0,
      faults: [],
    };
  }
}
