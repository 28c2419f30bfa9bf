import type { Point } from './measure.ts';

const WIDTH = 900;
const PANEL_HEIGHT = 300;
const LEFT = 80;
const RIGHT = 200;
const TOP = 50;
const BOTTOM = 50;
const COLOURS = ['#1f6feb', '#d1242f', '#1a7f37', '#9a6700', '#8250df', '#57606a', '#bf3989', '#0a7ea4'];

interface Series {
  readonly name: string;
  readonly dashed: boolean;
  /** Calls outstanding, and the figure there. */
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** Throughput and latency over the number of calls outstanding, a line for each kind of load; both axes logarithmic. */
export function throughputChart(points: readonly Point[]): string {
  const closed = points.filter(({ rate }) => rate === undefined);
  const height = 2 * (PANEL_HEIGHT + TOP + BOTTOM);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="13">`,
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
    panel(
      'operations a second',
      0,
      seriesOf(closed, '', (p) => p.ops_per_s),
    ),
    panel('milliseconds, median (p50) and 99th percentile (p99)', PANEL_HEIGHT + TOP + BOTTOM, [
      ...seriesOf(closed, ' p50', (p) => p.p50_ms),
      ...seriesOf(closed, ' p99', (p) => p.p99_ms, true),
    ]),
    '</svg>\n',
  ].join('\n');
}

function seriesOf(
  points: readonly Point[],
  suffix: string,
  figure: (point: Point) => number,
  dashed = false,
): Series[] {
  const groups = new Map<string, [number, number][]>();
  for (const point of points) {
    const conns = point.connections === 1 ? '1 connection' : `${point.connections} connections`;
    const name = `${point.peer} ${point.op} ${point.value_bytes} B, ${conns}${suffix}`;
    const group = groups.get(name) ?? [];
    groups.set(name, group);
    group.push([point.concurrency, figure(point)]);
  }
  return [...groups].map(([name, group]) => ({ name, dashed, points: group.sort((a, b) => a[0] - b[0]) }));
}

function panel(title: string, y0: number, series: readonly Series[]): string {
  const all = series.flatMap((line) => line.points).filter(([, y]) => y > 0);
  if (all.length === 0) return '';
  const x = axis(
    all.map(([value]) => value),
    LEFT,
    WIDTH - RIGHT,
  );
  const y = axis(
    all.map(([, value]) => value),
    y0 + TOP + PANEL_HEIGHT,
    y0 + TOP,
  );
  const parts = [`<text x="${LEFT}" y="${y0 + TOP - 20}" font-weight="bold">${title}</text>`];
  for (const tick of y.ticks) {
    const at = y.place(tick).toFixed(1);
    parts.push(`<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}" stroke="#d0d7de"/>`);
    parts.push(`<text x="${LEFT - 8}" y="${at}" dy="4" text-anchor="end">${label(tick)}</text>`);
  }
  for (const tick of x.ticks) {
    const at = x.place(tick).toFixed(1);
    const foot = y0 + TOP + PANEL_HEIGHT;
    parts.push(`<line x1="${at}" x2="${at}" y1="${y0 + TOP}" y2="${foot}" stroke="#eaeef2"/>`);
    parts.push(`<text x="${at}" y="${foot + 20}" text-anchor="middle">${label(tick)}</text>`);
  }
  parts.push(
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${y0 + TOP + PANEL_HEIGHT + 40}" text-anchor="middle">calls outstanding</text>`,
  );
  // The dashed half has the colours of the other.
  const colours = Math.min(COLOURS.length, series.filter((line) => !line.dashed).length);
  for (const [i, { name, dashed, points }] of series.entries()) {
    const colour = COLOURS[i % colours]!;
    const dashes = dashed ? ' stroke-dasharray="6 4"' : '';
    const path = points.map(([px, py]) => `${x.place(px).toFixed(1)},${y.place(py).toFixed(1)}`).join(' ');
    parts.push(`<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"${dashes}/>`);
    for (const [px, py] of points) {
      parts.push(
        `<circle cx="${x.place(px).toFixed(1)}" cy="${y.place(py).toFixed(1)}" r="3" fill="${colour}"/>`,
      );
    }
    const row = y0 + TOP + 10 + i * 18;
    parts.push(`<rect x="${WIDTH - RIGHT + 12}" y="${row - 9}" width="10" height="10" fill="${colour}"/>`);
    parts.push(`<text x="${WIDTH - RIGHT + 27}" y="${row}" font-size="11">${name}</text>`);
  }
  return parts.join('\n');
}

/** A logarithmic axis from the power of ten below the least value to the one above the greatest. */
function axis(
  values: readonly number[],
  from: number,
  to: number,
): { ticks: number[]; place: (value: number) => number } {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  return {
    ticks: Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)),
    place: (value) => from + ((Math.log10(value) - low) / (high - low)) * (to - from),
  };
}

function label(value: number): string {
  return value >= 1 ? value.toLocaleString('en-US') : String(Number(value.toPrecision(1)));
}
