/** Latencies are counted in classes of at most 1.6 % of their value: enough for percentiles, and cheap to merge. */
const UNITS_PER_MS = 10_000;
const SUB_BITS = 6;
const SUB = 1 << SUB_BITS;
const CLASSES = SUB * 26;
const MAX_UNITS = 2 ** 31 - 1;

/**
 * A histogram of durations from 0.1 µs to 200 s, longer ones counted as 200 s.
 *
 * @example
 * const latencies = new Histogram();
 * latencies.record(0.21);
 * latencies.percentile(0.99); // milliseconds
 */
export class Histogram {
  /** Counts per class; crosses process borders as it is. */
  readonly counts: Float64Array;
  maxMs = 0;

  constructor(counts: Float64Array = new Float64Array(CLASSES), maxMs = 0) {
    this.counts = counts;
    this.maxMs = maxMs;
  }

  get count(): number {
    let sum = 0;
    for (const count of this.counts) sum += count;
    return sum;
  }

  record(ms: number): void {
    const units = Math.min(MAX_UNITS, ms * UNITS_PER_MS) | 0;
    const at = classOf(units);
    this.counts[at] = this.counts[at]! + 1;
    if (ms > this.maxMs) this.maxMs = ms;
  }

  merge(other: Histogram): void {
    for (let i = 0; i < CLASSES; i++) this.counts[i] = this.counts[i]! + other.counts[i]!;
    this.maxMs = Math.max(this.maxMs, other.maxMs);
  }

  /** Milliseconds that `share` of all durations stay within (0.5: the median); 0 without any. */
  percentile(share: number): number {
    const total = this.count;
    if (total === 0) return 0;
    const rank = Math.max(1, Math.ceil(total * share));
    let seen = 0;
    for (let i = 0; i < CLASSES; i++) {
      seen += this.counts[i]!;
      if (seen >= rank) return Math.min(middleOf(i) / UNITS_PER_MS, this.maxMs);
    }
    return this.maxMs;
  }

  /** Share of all durations within `ms`. */
  within(ms: number): number {
    const end = classOf(Math.min(MAX_UNITS, ms * UNITS_PER_MS) | 0);
    let seen = 0;
    for (let i = 0; i <= end; i++) seen += this.counts[i]!;
    return seen / Math.max(1, this.count);
  }
}

/** Below 128 every unit is a class; above, each power of two is cut into 64. */
function classOf(units: number): number {
  if (units < 2 * SUB) return units;
  const shift = 31 - Math.clz32(units) - SUB_BITS;
  return shift * SUB + (units >>> shift);
}

function middleOf(at: number): number {
  if (at < 2 * SUB) return at + 0.5;
  const shift = (at >>> SUB_BITS) - 1;
  return ((at & (SUB - 1)) + SUB + 0.5) * 2 ** shift;
}
