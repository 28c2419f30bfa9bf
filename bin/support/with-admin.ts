import { Client } from '../../lib/client/index.ts';
import type { ChangeCallOptions, ClusterAdmin } from '../../lib/client/index.ts';
import type { ChangeResult } from '../../lib/node/membership.ts';
import { clusterAddresses } from './addresses.ts';
import { oneLine } from './exit-codes.ts';

/** Options of every command that changes the cluster. */
export interface ChangeCommandOptions {
  readonly addr?: string;
  readonly json?: boolean;
  readonly timeout: number;
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly ifIndex?: number;
}

/** Connects, does `work`, and closes whatever happens. */
export async function withAdmin<T>(
  options: { readonly addr?: string; readonly timeout: number },
  work: (admin: ClusterAdmin) => Promise<T>,
): Promise<T> {
  const client = await Client.connect({
    addresses: clusterAddresses(options.addr),
    timeoutMs: options.timeout,
    connectTimeoutMs: Math.min(options.timeout, 5_000),
    session: false,
  });
  try {
    return await work(client.admin);
  } finally {
    await client.close();
  }
}

/** Carries out one change and prints what came of it. */
export async function changeMembers(
  options: ChangeCommandOptions,
  change: (admin: ClusterAdmin, call: ChangeCallOptions) => Promise<ChangeResult>,
): Promise<void> {
  const { timeout: timeoutMs, dryRun, force, ifIndex: expectedConfigIndex } = options;
  const result = await withAdmin(options, (admin) =>
    change(admin, { timeoutMs, dryRun, force, expectedConfigIndex }),
  );
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  for (const warning of result.plan.warnings)
    process.stderr.write(`cordwood: warning: ${oneLine(warning)}\n`);
  if (!result.changed) {
    // Not always somebody else's doing: a leader that was lost before it answered may have made this very change, and
    // the client asked the next one. So whoever reads this must see what the members are.
    process.stdout.write(`nothing to do: the members are as wanted. ${members(result)}\n`);
    return;
  }
  for (const [i, step] of result.plan.steps.entries()) {
    process.stdout.write(`${i + 1}. ${oneLine(step)}\n`);
  }
  if (!result.done) {
    process.stdout.write('nothing was changed (--dry-run)\n');
    return;
  }
  process.stdout.write(`done. ${members(result)}\n`);
}

function members({ config: { voters, learners } }: ChangeResult): string {
  const rest = learners.length === 0 ? '' : `; learners: ${learners.join(', ')}`;
  return `Voters: ${voters.join(', ')}${rest}`;
}
