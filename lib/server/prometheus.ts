import { collectDefaultMetrics, Registry } from 'prom-client';
import type { LatencyCounts } from '../node/latency.ts';

type Labels = Readonly<Record<string, string | number>>;
type Kind = 'counter' | 'gauge' | 'histogram';

interface Value {
  readonly metricName?: string;
  readonly labels: Labels;
  readonly value: number;
}

/** Memory, garbage collection, event loop, file handles: of the process, however many nodes it runs. */
let processMetrics: Registry | null = null;

/**
 * Numbers that are counted elsewhere, as text that Prometheus reads. Made anew for each scrape, so nothing is kept for
 * a reader that never comes.
 */
export class PrometheusText {
  readonly #registry = new Registry();

  get contentType(): string {
    return this.#registry.contentType;
  }

  gauge(name: string, help: string, value: number | readonly (readonly [Labels, number])[]): void {
    this.#add('gauge', name, help, valuesOf(value));
  }

  /** `name` ends with `_total`. */
  counter(name: string, help: string, value: number | readonly (readonly [Labels, number])[]): void {
    this.#add('counter', name, help, valuesOf(value));
  }

  /** `name` ends with `_seconds`. */
  histogram(name: string, help: string, { boundsMs, counts, count, sumMs }: LatencyCounts): void {
    let below = 0;
    const values: Value[] = counts.map((each, i) => {
      below += each;
      const bound = boundsMs[i];
      const le = bound === undefined ? '+Inf' : bound / 1000;
      return { metricName: `${name}_bucket`, labels: { le }, value: below };
    });
    values.push({ metricName: `${name}_sum`, labels: {}, value: sumMs / 1000 });
    values.push({ metricName: `${name}_count`, labels: {}, value: count });
    this.#add('histogram', name, help, values);
  }

  async render(): Promise<string> {
    if (processMetrics === null) {
      processMetrics = new Registry();
      collectDefaultMetrics({ register: processMetrics });
    }
    return `${await this.#registry.metrics()}\n${await processMetrics.metrics()}`;
  }

  #add(type: Kind, name: string, help: string, values: readonly Value[]): void {
    // What the registry asks of a metric; its own classes would keep a second copy of every number.
    const metric = { name, get: async () => ({ name, help, type, values, aggregator: 'sum' }) };
    this.#registry.registerMetric(metric as unknown as Parameters<Registry['registerMetric']>[0]);
  }
}

function valuesOf(value: number | readonly (readonly [Labels, number])[]): Value[] {
  if (typeof value === 'number') return [{ labels: {}, value }];
  return value.map(([labels, each]) => ({ labels, value: each }));
}
