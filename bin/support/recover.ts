import { realpathSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline/promises';
import { lockDirectory } from '../../lib/log/directory-lock.ts';
import type { DirectoryLock } from '../../lib/log/directory-lock.ts';
import { NodeDisk } from '../../lib/log/node-disk.ts';
import { encodeRecord } from '../../lib/log/record.ts';
import { SurvivingLog } from '../../lib/log/surviving-log.ts';
import { EntryKind } from '../../lib/core/types.ts';
import { bootstrapOf } from '../../lib/node/options.ts';
import { planRecovery } from '../../lib/node/recovery-plan.ts';
import type { RecoveryPlan } from '../../lib/node/recovery-plan.ts';
import { encodeConfig } from '../../protocol/config-codec.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import type { RecoverOptions } from '../commands/recover.ts';
import { ExitCode, oneLine, UsageError } from './exit-codes.ts';
import { time } from './inspect.ts';
import { planCluster, writeCluster } from './new-cluster.ts';
import type { NewCluster } from './new-cluster.ts';
import { printLine } from './print.ts';

/** `cordwood recover DIR…`. Resolves to the exit status. */
export async function recover(given: readonly string[], options: RecoverOptions): Promise<number> {
  const locks: DirectoryLock[] = [];
  try {
    const disk = new NodeDisk();
    const survivors: SurvivingLog[] = [];
    const seen = new Set<string>();
    for (const directory of given.map((each) => path.resolve(each))) {
      if (!disk.exists(directory)) throw new UsageError(`${directory} is not there`);
      const real = realpathSync(directory);
      if (seen.has(real)) throw new UsageError(`${directory} is given twice`);
      seen.add(real);
      // Held to the end: a node that starts meanwhile would not be in the picture.
      locks.push(await lockDirectory(directory, true));
      const survivor = tryRead(disk, directory);
      if (survivor !== null) survivors.push(survivor);
    }
    const plan = planRecovery(survivors);
    const cluster = clusterOf(plan, options);
    if (options.json !== true || options.dryRun === true) show(plan, cluster, options);
    if (plan.quorumLeft && options.force !== true) {
      const text =
        'a majority is here, and whole: start these nodes as they are; --force recovers all the same';
      process.stderr.write(`cordwood: ${text}\n`);
      return ExitCode.negative;
    }
    if (options.dryRun === true || cluster === null) return ExitCode.ok;
    if (options.yes !== true && !(await agreed())) {
      process.stderr.write('cordwood: nothing was done\n');
      return ExitCode.negative;
    }
    carryOut(plan, cluster, options);
    return ExitCode.ok;
  } finally {
    for (const lock of locks) await lock.release();
  }
}

/** The new cluster; null where it is not said what it shall be, and nothing shall be done. */
function clusterOf(plan: RecoveryPlan, options: RecoverOptions): NewCluster | null {
  const { dryRun, cluster, data } = options;
  if (dryRun === true && (cluster === undefined || data === undefined)) return null;
  const { identity, lastTerm, lastIndex } = plan.ranked[0]!;
  return planCluster(options, ['recover', plan.clusterId, identity.incarnation, `${lastTerm}/${lastIndex}`]);
}

/** A directory that is beyond use is said to be, and left out. */
function tryRead(disk: NodeDisk, directory: string): SurvivingLog | null {
  try {
    return new SurvivingLog(disk, directory);
  } catch (error) {
    if (!CordwoodError.is(error) || error.code !== 'LOG_DAMAGED') throw error;
    process.stderr.write(`cordwood: left out: ${oneLine(error.message)}\n`);
    return null;
  }
}

function carryOut(plan: RecoveryPlan, cluster: NewCluster, options: RecoverOptions): void {
  const best = plan.ranked[0]!;
  const { term } = plan;
  const index = best.lastIndex + 1;
  // Everything in the log is kept, in doubt or not, and this entry behind it says who the members are from now on.
  const body = encodeConfig(bootstrapOf(cluster.members));
  const bytes = encodeRecord(EntryKind.config, term, index, best.lastTimeMs, body);
  const beginning = best.beginning({ term, vote: 0 }, { first: index, last: index, bytes });
  const origin = `what node ${best.identity.nodeId} of cluster ${plan.clusterId} had, up to entry ${best.lastIndex}`;
  writeCluster(cluster, origin, beginning, options);
}

function show(plan: RecoveryPlan, cluster: NewCluster | null, options: RecoverOptions): void {
  const best = plan.ranked[0]!;
  if (options.json === true) {
    printLine(
      JSON.stringify({
        clusterId: plan.clusterId,
        newClusterId: cluster?.clusterId ?? null,
        survivors: plan.ranked.map((one) => ({
          directory: one.report.path,
          node: one.identity.nodeId,
          lastIndex: one.lastIndex,
          lastTerm: one.lastTerm,
          committedIndex: one.committedIndex,
          lastTimeMs: one.lastTimeMs,
          problems: one.report.problems,
        })),
        lost: plan.lost,
        replaced: plan.replaced,
        quorumLeft: plan.quorumLeft,
        mayLose: plan.mayLose,
      }),
    );
    return;
  }
  printLine(`cluster ${oneLine(plan.clusterId)}: voters ${plan.config.voters.join(', ')}`);
  for (const [i, one] of plan.ranked.entries()) {
    const rank = i === 0 ? 'best' : `${i + 1}.  `;
    const last = one.lastTimeMs === 0 ? '' : `, the last of ${time(one.lastTimeMs)}`;
    const ends = `entry ${one.lastIndex} of term ${one.lastTerm}${last}`;
    printLine(`${rank} node ${one.identity.nodeId} ends with ${ends}: ${oneLine(one.report.path)}`);
    if (one.committedIndex > 0)
      printLine(`     certainly committed, by its snapshot: up to entry ${one.committedIndex}`);
    for (const { file, offset, reason } of one.report.problems)
      printLine(`     DAMAGED: ${oneLine(file)} at offset ${offset}: ${oneLine(reason)}`);
    if (plan.replaced.includes(one.identity.nodeId))
      printLine('     ANOTHER DIRECTORY than the one the others know this node by: that one is lost');
  }
  if (plan.lost.length > 0) printLine(`not here: ${plan.lost.map((id) => `node ${id}`).join(', ')}`);
  printLine(
    plan.mayLose
      ? `MAY BE LOST: what was acknowledged behind entry ${best.lastIndex} and was on the lost or damaged disks only.`
      : 'Nothing that was acknowledged is lost: every majority includes one of these nodes.',
  );
  printLine('May turn out done: requests at the end of this log whose clients were told that nobody knows.');
  if (cluster === null) return;
  const places = cluster.places.map(({ directory }) => oneLine(directory)).join(', ');
  printLine(
    `The new cluster ${cluster.clusterId} begins with all that node ${best.identity.nodeId} has: ${places}`,
  );
}

async function agreed(): Promise<boolean> {
  if (!process.stdin.isTTY) throw new UsageError('nobody to ask: --yes goes on without asking');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await terminal.question('Make the new cluster? Type yes: ')).trim() === 'yes';
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error;
    // Ctrl-C and Ctrl-D say no, and leave the cursor behind the question.
    process.stderr.write('\n');
    return false;
  } finally {
    terminal.close();
  }
}
