import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Histogram } from './histogram.ts';
import type { Ledger, LoadJob, LoadResult } from './load.ts';
import type { FromLoad, ToLoad } from './load-process.ts';

const PROGRAM = fileURLToPath(new URL('load-process.js', import.meta.url));
/** Below the window of a session, see `Limits.maxSessionWindow`. */
const MAX_OUTSTANDING = 60_000;
/**
 * Each call lives until it is answered. With V8's young generation of 16 MB and ten thousand calls under way most of
 * them are copied while they wait, which costs a third of all CPU of the load.
 */
export const LOAD_FLAGS: readonly string[] = ['--max-semi-space-size=64'];

/** What several load processes did together. */
export interface CombinedResult {
  readonly operationsPerS: number;
  readonly operations: number;
  readonly latencies: Histogram;
  readonly cpuMs: number;
  readonly peakRssBytes: number;
  readonly missed: number;
  readonly ledgers: readonly Ledger[];
  readonly error: string;
}

export interface CombinedEvents {
  /** All processes measure. */
  begin(): void;
  /** One of them has ended measuring. */
  end(): void;
}

/** The processes that make the load. They live through many points, so that their code is as warm as a user's. */
export class Loaders implements AsyncDisposable {
  readonly #processes: LoadProcess[];
  #lastWorker = 0;

  constructor(count: number, execArgv: readonly string[] = []) {
    this.#processes = Array.from({ length: count }, () => new LoadProcess(execArgv));
  }

  /** `connections` in all, spread over the processes. */
  async connect(addresses: readonly string[], connections: number): Promise<void> {
    const shares = spread(connections, this.#processes.length);
    await Promise.all(
      this.#processes.map((process, i) =>
        process.ask('connected', {
          type: 'connect',
          // A new number each time: so values of different points differ too.
          worker: ++this.#lastWorker,
          addresses,
          connections: Math.max(1, shares[i]!),
          maxOutstanding: MAX_OUTSTANDING,
        }),
      ),
    );
  }

  async run(job: LoadJob, events: CombinedEvents): Promise<CombinedResult> {
    const users = spread(job.outstanding, this.#processes.length);
    const used = this.#processes.filter((_, i) => users[i]! > 0);
    let begun = 0;
    let ended = false;
    const results = await Promise.all(
      used.map(async (process, i) => {
        process.onBegin = () => {
          if (++begun === used.length) events.begin();
        };
        process.onMeasured = () => {
          if (!ended) events.end();
          ended = true;
        };
        const share = { ...job, outstanding: users[i]!, ratePerS: job.ratePerS / used.length };
        return (await process.ask('done', { type: 'load', job: share })).result;
      }),
    );
    return combine(results);
  }

  async end(): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.end()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}

class LoadProcess {
  onBegin: () => void = () => undefined;
  onMeasured: () => void = () => undefined;
  readonly #child: ChildProcess;
  readonly #gone: Promise<void>;
  #answer: ((message: FromLoad) => void) | null = null;

  constructor(execArgv: readonly string[]) {
    const child = fork(PROGRAM, { execArgv: [...LOAD_FLAGS, ...execArgv], serialization: 'advanced' });
    this.#child = child;
    this.#gone = new Promise((resolve) => {
      child.once('exit', () => {
        this.#answer?.({ type: 'failed', message: 'a load process ended' });
        resolve();
      });
    });
    child.on('message', (message: FromLoad) => {
      if (message.type === 'begin') this.onBegin();
      else if (message.type === 'measured') this.onMeasured();
      else this.#answer?.(message);
    });
  }

  ask<Type extends FromLoad['type']>(
    type: Type,
    message: ToLoad,
  ): Promise<Extract<FromLoad, { type: Type }>> {
    return new Promise((resolve, reject) => {
      this.#answer = (answer) => {
        this.#answer = null;
        if (answer.type === type) resolve(answer as Extract<FromLoad, { type: Type }>);
        else reject(new Error(answer.type === 'failed' ? answer.message : `unexpected ${answer.type}`));
      };
      this.#child.send(message);
    });
  }

  async end(): Promise<void> {
    if (this.#child.connected) this.#child.send({ type: 'end' } satisfies ToLoad);
    await this.#gone;
  }
}

function combine(results: readonly LoadResult[]): CombinedResult {
  const latencies = new Histogram();
  for (const { latencies: counts, maxMs } of results) latencies.merge(new Histogram(counts, maxMs));
  const sum = (of: (result: LoadResult) => number): number =>
    results.reduce((total, result) => total + of(result), 0);
  return {
    operationsPerS: sum(({ operations, elapsedMs }) => (operations / elapsedMs) * 1000),
    operations: sum(({ operations }) => operations),
    latencies,
    cpuMs: sum(({ cpuMs }) => cpuMs),
    peakRssBytes: Math.max(...results.map(({ peakRssBytes }) => peakRssBytes)),
    missed: sum(({ missed }) => missed),
    ledgers: results.map(({ ledger }) => ledger),
    error: results.find(({ error }) => error !== '')?.error ?? '',
  };
}

/** `total` in `parts` whole numbers as equal as they can be. */
function spread(total: number, parts: number): number[] {
  return Array.from({ length: parts }, (_, i) => Math.floor((total + parts - 1 - i) / parts));
}
