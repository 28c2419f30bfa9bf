import { Client, type ReadLevelName } from '../../../lib/client/index.ts';
import { CordwoodError } from '../../../protocol/errors.ts';
import type { TestCluster } from './cluster.ts';
import { EMPTY, History, type Op, type OpKind } from './history.ts';
import { http, httpError } from './http-stacks.ts';
import { Random } from './random.ts';
import { pause } from './until.ts';

/** How a worker talks to the cluster. */
export type Style =
  /** The client library as it comes: a session, the leader. */
  | 'session'
  /** The client library without a session: nothing is sent twice. */
  | 'once'
  /** The client library on whichever node it found first, which forwards. */
  | 'anywhere'
  /** HTTP, each request to another node. */
  | 'http'
  /** HTTP with a key: sent again, to another node, until it is answered. */
  | 'http-key';

export interface WorkloadOptions {
  readonly seed: number;
  readonly stacks: number;
  /** Workers of each style; each has one call under way at a time. */
  readonly workers: Partial<Record<Style, number>>;
  readonly timeoutMs: number;
  /** Largest padding of a value. */
  readonly maxPadding?: number;
  /** Pause between two calls of a worker, at most. */
  readonly maxPauseMs?: number;
  /** Level of the library's reads. Default: linearizable. */
  readonly readLevel?: ReadLevelName;
}

interface Answer {
  readonly outcome: Op['outcome'];
  readonly result: string | number | null;
  readonly error: string;
}

type Caller = (kind: OpKind, stack: string, value: string | null) => Promise<Answer>;

/** Clients of all kinds that push and pop at the same time and write down what they were told. */
export class Workload {
  readonly history: History = new History();
  /** Calls that took much longer than they may. */
  readonly late: Op[] = [];
  readonly #cluster: TestCluster;
  readonly #options: WorkloadOptions;
  readonly #clients: Client[] = [];
  readonly #workers: Promise<void>[] = [];
  #stopped = false;
  #keys = 0;

  constructor(cluster: TestCluster, options: WorkloadOptions) {
    this.#cluster = cluster;
    this.#options = options;
  }

  get #stacks(): string[] {
    return Array.from({ length: this.#options.stacks }, (_, i) => `stack ${i + 1}`);
  }

  /** Makes the stacks and starts all workers. */
  async start(): Promise<void> {
    const { workers, seed } = this.#options;
    const setup = await this.#client({});
    for (const stack of this.#stacks) await setup.create(stack);
    const shared: Partial<Record<Style, Client>> = {
      session: await this.#client({}),
      once: await this.#client({ session: false }),
      anywhere: await this.#client({ preferLeader: false }),
    };
    let number = 0;
    for (const [style, count] of Object.entries(workers) as [Style, number][]) {
      for (let i = 0; i < count; i++) {
        const random = new Random(seed * 1000 + ++number);
        const client = shared[style];
        const call =
          client === undefined
            ? this.#httpCaller(random, style)
            : libraryCaller(client, this.#options.readLevel);
        this.#workers.push(this.#work(`${style}${number}`, random, call));
      }
    }
  }

  /** Lets the calls that are under way end, then pops every stack empty. The cluster must serve again. */
  async finish(): Promise<History> {
    this.#stopped = true;
    await Promise.all(this.#workers);
    const client = await this.#client({ timeoutMs: 60_000 });
    const call = libraryCaller(client);
    for (const stack of this.#stacks) {
      for (;;) {
        const op = await this.#record('drain', 'pop', stack, null, call);
        if (op.outcome !== 'ok') throw new Error(`the last pops must work: ${op.error}`);
        if (op.result === EMPTY) break;
      }
    }
    for (const one of this.#clients) await one.close();
    return this.history;
  }

  async #client(options: { session?: boolean; preferLeader?: boolean; timeoutMs?: number }): Promise<Client> {
    const { addresses } = this.#cluster;
    const client = await Client.connect({ addresses, timeoutMs: this.#options.timeoutMs, ...options });
    this.#clients.push(client);
    return client;
  }

  async #work(name: string, random: Random, call: Caller): Promise<void> {
    const { maxPadding = 0, maxPauseMs = 5 } = this.#options;
    while (!this.#stopped) {
      const dice = random.next();
      const kind = dice < 0.45 ? 'push' : dice < 0.84 ? 'pop' : dice < 0.92 ? 'top' : 'size';
      const value = kind === 'push' ? this.history.value(name, random.below(maxPadding + 1)) : null;
      const op = await this.#record(name, kind, random.pick(this.#stacks), value, call);
      // Whoever is refused at once does not ask as fast as it can.
      await pause(op.outcome === 'ok' ? random.below(maxPauseMs + 1) : 20);
    }
  }

  async #record(
    client: string,
    kind: OpKind,
    stack: string,
    value: string | null,
    call: Caller,
  ): Promise<Op> {
    const callMs = performance.now();
    const { outcome, result, error } = await call(kind, stack, value);
    const nowMs = performance.now();
    const endMs = outcome === 'unknown' ? Infinity : nowMs;
    const op: Op = { client, stack, kind, value, callMs, endMs, outcome, result, error };
    this.history.add(op);
    if (nowMs - callMs > 2 * this.#options.timeoutMs + 5_000 && client !== 'drain') this.late.push(op);
    return op;
  }

  #httpCaller(random: Random, style: Style): Caller {
    const { timeoutMs } = this.#options;
    return async (kind, stack, value) => {
      const nodes = this.#cluster.nodes;
      const path = { push: 'sPush', pop: 'sPop', top: 'sTop', size: 'sSize' }[kind];
      const body = value === null ? stack : `${stack},${value}`;
      const headers: Record<string, string> = { 'content-type': 'application/x-www-form-urlencoded' };
      headers['x-timeout-ms'] = String(timeoutMs);
      if (style === 'http-key') headers['idempotency-key'] = `${process.pid}-${++this.#keys}-${kind}`;
      const deadline = performance.now() + timeoutMs;
      let uncertain = false;
      for (;;) {
        const url = `${random.pick(nodes).url}/${path}`;
        const answer = await http(url, body, { headers, timeoutMs });
        if (answer.status === 200) {
          const text = answer.body.toString().slice(0, -1);
          return {
            outcome: 'ok',
            result: kind === 'push' || kind === 'size' ? Number(text) : text,
            error: '',
          };
        }
        if (answer.status === 204) return { outcome: 'ok', result: EMPTY, error: '' };
        const { code, outcome } = httpError(answer);
        if (outcome === 'unknown') uncertain = true;
        if (style === 'http' || performance.now() > deadline)
          return { outcome: uncertain ? 'unknown' : 'not_applied', result: null, error: code };
        await pause(10 + random.below(20));
      }
    };
  }
}

function libraryCaller(client: Client, level?: ReadLevelName): Caller {
  return async (kind, stack, value) => {
    try {
      const result = await call(client, kind, stack, value, level);
      return { outcome: 'ok', result: result === undefined ? EMPTY : (result as string | number), error: '' };
    } catch (error) {
      if (!CordwoodError.is(error)) throw error;
      return { outcome: error.outcome, result: null, error: error.code };
    }
  };
}

function call(
  client: Client,
  kind: OpKind,
  stack: string,
  value: string | null,
  level: ReadLevelName | undefined,
): Promise<unknown> {
  switch (kind) {
    case 'push':
      return client.push(stack, value);
    case 'pop':
      return client.pop(stack);
    case 'top':
      return client.top(stack, { level });
    case 'size':
      return client.size(stack, { level });
  }
}
