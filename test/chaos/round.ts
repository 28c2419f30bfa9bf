import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { checkFacts, tell } from '../e2e/support/check-facts.ts';
import { checkLinearizable } from '../e2e/support/check-linearizable.ts';
import { TestCluster } from '../e2e/support/cluster.ts';
import { ALL_DEEDS, type Deed, LINK_DEEDS, Nemesis } from '../e2e/support/nemesis.ts';
import { Workload, type WorkloadOptions } from '../e2e/support/workload.ts';

export interface RoundOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly durationMs: number;
  /** Default: all that can be done to processes. */
  readonly deeds?: readonly Deed[];
  /** Links break too. */
  readonly links?: boolean;
  /** Reads need no quorum while the leader holds a lease. */
  readonly leases?: boolean;
  readonly workload?: Partial<WorkloadOptions>;
}

export interface Round {
  readonly ops: number;
  /** Of them, those that were answered. */
  readonly done: number;
  readonly elections: number;
  /** Processes that got a SIGKILL. */
  readonly killed: number;
  readonly wrong: readonly string[];
  readonly summary: string;
}

/** Short timeouts and small logs: more elections, snapshots and restarts in the same time. */
const NODE_ARGS = [
  '--election-timeout-ms',
  '400',
  '--heartbeat-ms',
  '40',
  '--snapshot-log-mb',
  '1',
  '--log-level',
  'info',
];

/** One cluster, one storm, one history, checked. */
export async function runRound(options: RoundOptions): Promise<Round> {
  const { seed, nodes, durationMs, links = false, leases = false } = options;
  const deeds = options.deeds ?? (links ? [...ALL_DEEDS, ...LINK_DEEDS] : ALL_DEEDS);
  const args = leases ? [...NODE_ARGS, '--lease-reads'] : NODE_ARGS;
  const cluster = await TestCluster.open({ nodes, args, proxied: links });
  const wrong: string[] = [];
  try {
    const first = await cluster.leader();
    const firstTerm = (await first.status())?.term ?? 0;
    const workload = new Workload(cluster, {
      seed,
      stacks: 3,
      workers: { session: 6, once: 2, anywhere: 4, http: 2, 'http-key': 3 },
      timeoutMs: 4_000,
      maxPadding: 3_000,
      ...(leases ? { readLevel: 'lease' } : {}),
      ...options.workload,
    });
    await workload.start();
    const nemesis = new Nemesis(cluster, seed);
    await nemesis.rage(durationMs, deeds);
    const history = await workload.finish();
    const statuses = await cluster.converged();
    wrong.push(...nemesis.crashes, ...checkFacts(history));
    wrong.push(...workload.late.map((op) => `ended far too late: ${tell(op)}`));
    let states = 0;
    for (const stack of history.stacks) {
      const verdict = checkLinearizable(history.of(stack));
      states += verdict.states;
      if (verdict.undecided) wrong.push(`${stack}: the search was given up after ${verdict.states} states`);
      else if (!verdict.linearizable)
        wrong.push(
          `${stack}: not linearizable; nothing of this fits: ${verdict.stuckAt.map(tell).join('; ')}`,
        );
    }
    if (wrong.length > 0) {
      const file = path.join(tmpdir(), `cordwood-history-${seed}.json`);
      writeFileSync(file, JSON.stringify(history.ops));
      wrong.push(`the history is in ${file}`, cluster.logs());
    }
    const done = [...nemesis.done].map(([deed, count]) => `${deed} ${count}`).join(', ');
    const summary =
      `seed ${seed}: ${nodes} nodes${links ? ', links' : ''}${leases ? ', leases' : ''}, ${history.ops.length} ops (${history.count('unknown')} unknown, ` +
      `${history.count('not_applied')} not applied), terms ${firstTerm}→${statuses[0]!.term}, ` +
      `snapshot ${statuses.map((s) => s.snapshotIndex).join('/')}, ${states} states; ` +
      `${nemesis.killed} killed: ${done}; ` +
      `errors ${JSON.stringify(history.errors)}`;
    const elections = statuses[0]!.term - firstTerm;
    return {
      ops: history.ops.length,
      done: history.count('ok'),
      elections,
      killed: nemesis.killed,
      wrong,
      summary,
    };
  } catch (error) {
    throw new Error(`seed ${seed}: ${(error as Error).message}\n${cluster.logs()}`, { cause: error });
  } finally {
    await cluster.close();
  }
}
