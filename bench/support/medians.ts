import type { Point } from './measure.ts';

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** What makes points repetitions of each other. */
function keyOf(point: Point): string {
  const { peer, op, nodes, concurrency, connections, value_bytes, rate } = point;
  return [peer, op, nodes, concurrency, connections, value_bytes, rate ?? 0].join(' ');
}

/** One point for each group of repetitions, every figure the median of its own; in the order they first came. */
export function medians(points: readonly Point[]): Point[] {
  const groups = new Map<string, Point[]>();
  for (const point of points) {
    const key = keyOf(point);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [point]);
    else group.push(point);
  }
  return [...groups.values()].map((group) => {
    const first = group[0]!;
    const of = (get: (point: Point) => number): number => median(group.map(get));
    const ofMaybe = (get: (point: Point) => number | null): number | null =>
      get(first) === null ? null : median(group.map((point) => get(point) ?? 0));
    return {
      ...first,
      ops_per_s: of((p) => p.ops_per_s),
      p50_ms: of((p) => p.p50_ms),
      p99_ms: of((p) => p.p99_ms),
      p999_ms: of((p) => p.p999_ms),
      max_ms: of((p) => p.max_ms),
      servers_cpu_us_per_op: of((p) => p.servers_cpu_us_per_op),
      leader_cpu_us_per_op: of((p) => p.leader_cpu_us_per_op),
      client_cpu_us_per_op: of((p) => p.client_cpu_us_per_op),
      device_bytes_per_op: ofMaybe((p) => p.device_bytes_per_op),
      flush_per_op: ofMaybe((p) => p.flush_per_op),
      peak_rss_mb: of((p) => p.peak_rss_mb),
      client_peak_rss_mb: of((p) => p.client_peak_rss_mb),
      verified: group.reduce((sum, p) => sum + p.verified, 0),
      failed: group.reduce((sum, p) => sum + p.failed, 0),
      missed: group.reduce((sum, p) => sum + p.missed, 0),
      faults: group.flatMap((p) => p.faults),
    };
  });
}
