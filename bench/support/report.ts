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
  const head = ['', 'out', 'conns', 'bytes', 'ops/s', 'p50 ms', 'p99', 'p99.9'];
  const cost = ['node µs/op', 'leader', 'client', 'disk B/op', 'flush/op', 'node MB', 'checked'];
  return table(
    [...head, ...cost],
    points.map((p) => [
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
      p.faults.length === 0 ? grouped(p.verified) : 'FAULTS',
    ]),
  );
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
