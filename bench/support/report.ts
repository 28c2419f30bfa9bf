import { cpus, totalmem } from 'node:os';
import Table from 'cli-table3';
import type { Point } from './measure.ts';

const plain = {
  ...Object.fromEntries(
    ['top', 'bottom', 'left', 'right'].flatMap((side) => [
      [side, ''],
      [`${side}-mid`, ''],
      [`${side}-left`, ''],
      [`${side}-right`, ''],
    ]),
  ),
  mid: '',
  'mid-mid': '',
  middle: '  ',
};

/** Rows with a heading, numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], texts = 1): string {
  const lines = new Table({
    head: [...head],
    chars: plain,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: head.map((_, i) => (i < texts ? 'left' : 'right')),
  });
  for (const row of rows) lines.push([...row]);
  return lines
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

export function throughputTable(points: readonly Point[]): string {
  const peers = new Set(points.map(({ peer }) => peer)).size > 1;
  const head = [...(peers ? [''] : []), '', 'out', 'conns', 'bytes', 'ops/s', 'p50 ms', 'p99', 'p99.9'];
  const cost = ['node µs/op', 'leader', 'client', 'disk B/op', 'flush/op', 'node MB', 'checked'];
  return table(
    [...head, ...cost],
    points.map((p) => [
      ...(peers ? [p.peer] : []),
      p.rate === undefined ? p.op : `${p.op} ${grouped(p.rate)}/s`,
      grouped(p.concurrency),
      grouped(p.connections),
      grouped(p.value_bytes),
      grouped(p.ops_per_s),
      p.p50_ms.toFixed(3),
      p.p99_ms.toFixed(2),
      p.p999_ms.toFixed(2),
      p.servers_cpu_us_per_op.toFixed(2),
      p.leader_cpu_us_per_op.toFixed(2),
      p.client_cpu_us_per_op.toFixed(2),
      p.device_bytes_per_op === null ? '-' : grouped(p.device_bytes_per_op),
      p.flush_per_op === null ? '-' : p.flush_per_op.toFixed(4),
      grouped(p.peak_rss_mb),
      p.faults.length > 0 ? 'FAULTS' : p.verified > 0 ? grouped(p.verified) : '-',
    ]),
    peers ? 2 : 1,
  );
}

/** Each of `ours` divided by what `peer` did under the same load. */
export function ratioTable(points: readonly Point[], ours: string): string {
  const loadOf = (p: Point): string =>
    [p.op, p.concurrency, p.connections, p.value_bytes, p.rate ?? 0].join(' ');
  const rows: string[][] = [];
  for (const p of points) {
    if (p.peer !== ours) continue;
    for (const other of points) {
      if (other.peer === ours || loadOf(other) !== loadOf(p)) continue;
      const nodeCpu = p.servers_cpu_us_per_op / other.servers_cpu_us_per_op;
      const clientCpu = p.client_cpu_us_per_op / other.client_cpu_us_per_op;
      const figures = [p.ops_per_s / other.ops_per_s, p.p50_ms / other.p50_ms, p.p99_ms / other.p99_ms];
      rows.push([
        `${ours} / ${other.peer}`,
        p.op,
        grouped(p.concurrency),
        grouped(p.connections),
        grouped(p.value_bytes),
        ...[...figures, nodeCpu, clientCpu].map((ratio) => (Number.isFinite(ratio) ? ratio.toFixed(2) : '-')),
      ]);
    }
  }
  const head = ['ratio', '', 'out', 'conns', 'bytes', 'ops/s', 'p50', 'p99', 'node CPU', 'client CPU'];
  return rows.length === 0 ? '' : table(head, rows, 2);
}

/** What the figures were measured on. */
export function hardware(): string {
  const all = cpus();
  const model = all[0]?.model.trim() ?? 'unknown CPU';
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return `${all.length} x ${model}, ${memory}, Node ${process.versions.node}, ${process.platform}`;
}

export function grouped(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 0 });
}
