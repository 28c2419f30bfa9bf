import { statSync } from 'node:fs';
import path from 'node:path';
import Table from 'cli-table3';
import type { Config } from '../../lib/core/types.ts';
import { lockDirectory } from '../../lib/log/directory-lock.ts';
import { inspectDirectory } from '../../lib/log/inspect-directory.ts';
import type { DirectoryReport } from '../../lib/log/inspect-directory.ts';
import type { RecordReport } from '../../lib/log/inspect-segments.ts';
import { NodeDisk } from '../../lib/log/node-disk.ts';
import type { InspectOptions } from '../commands/inspect.ts';
import { ExitCode, oneLine, UsageError } from './exit-codes.ts';
import { printLine } from './print.ts';

/** `cordwood inspect PATH`. Resolves to the exit status. */
export async function inspect(given: string, options: InspectOptions): Promise<number> {
  const target = path.resolve(given);
  const status = statSync(target, { throwIfNoEntry: false });
  if (status === undefined) throw new UsageError(`${given} is not there`);
  if (!status.isDirectory()) {
    const { inspectBackup } = await import('./backup-file.ts');
    return inspectBackup(target, options.json === true);
  }
  const report = await readLocked(target, options.records === true ? recordPrinter(options) : undefined);
  if (options.json === true) printLine(JSON.stringify({ whole: report.problems.length === 0, ...report }));
  else printReport(report);
  return report.problems.length === 0 ? ExitCode.ok : ExitCode.negative;
}

/** Holds the directory's lock meanwhile: a node that runs would change what is read. */
export async function readLocked(
  directory: string,
  visit?: (record: RecordReport) => void,
): Promise<DirectoryReport> {
  const lock = await lockDirectory(directory, true);
  try {
    return inspectDirectory(new NodeDisk(), directory, visit);
  } finally {
    await lock.release();
  }
}

function recordPrinter({ json }: InspectOptions): (record: RecordReport) => void {
  if (json === true) return (record) => printLine(JSON.stringify(record));
  return ({ file, offset, kind, term, index, timeMs, bodyBytes, vote }) => {
    const where = `${path.basename(file)}:${offset}`;
    const what = vote === undefined ? `${index}\t${time(timeMs)}\t${bodyBytes} bytes` : `vote ${vote}`;
    printLine(`${where}\t${kind}\tterm ${term}\t${what}`);
  };
}

function printReport(report: DirectoryReport): void {
  const { identity, hardState, votes, log, snapshots, config, peers, problems } = report;
  printLine(`directory   ${oneLine(report.path)}`);
  if (identity !== null) {
    printLine(`node        ${identity.nodeId} of cluster ${oneLine(identity.clusterId)}`);
    printLine(`incarnation ${oneLine(identity.incarnation)}, made ${time(identity.createdMs)}`);
    if (identity.origin !== undefined) printLine(`made from   ${oneLine(identity.origin)}`);
  }
  const vote = hardState.vote === 0 ? 'no vote' : `voted for node ${hardState.vote}`;
  printLine(`term        ${hardState.term}, ${vote}`);
  if (votes !== null && votes.quarantine !== null) printLine(`quarantine  ${oneLine(votes.quarantine)}`);
  printConfig(config, identity === null ? null : identity.members);
  for (const [id, incarnation] of peers) printLine(`has met     node ${id}: ${oneLine(incarnation)}`);

  const entries =
    log.lastIndex > log.prevIndex ? `entries ${log.prevIndex + 1} to ${log.lastIndex}` : 'no entries';
  const ended = log.clean ? 'stopped in an orderly way' : 'not stopped in an orderly way';
  const last = log.lastTimeMs === 0 ? '' : `, the last of ${time(log.lastTimeMs)}`;
  printLine(`log         ${entries} behind ${log.prevIndex}, last term ${log.lastTerm}${last}; ${ended}`);
  printSegments(report);
  if (snapshots.length === 0) printLine('snapshots   none');
  for (const { file, fileBytes, snapshot, problem } of snapshots) {
    const name = path.basename(file);
    if (snapshot === null) printLine(`snapshot    ${name}: ${oneLine(problem ?? '')}`);
    else {
      const { meta, digest } = snapshot;
      printLine(`snapshot    ${name}: entry ${meta.index}, term ${meta.term}, ${fileBytes} bytes`);
      printLine(`            digest ${digest}`);
    }
  }
  for (const { file, offset, reason } of problems) {
    printLine(`DAMAGED     ${oneLine(file)} at offset ${offset}: ${oneLine(reason)}`);
  }
  printLine(problems.length === 0 ? 'whole       every checksum holds' : 'NOT WHOLE   see above');
}

function printConfig(config: DirectoryReport['config'], initial: Config['members'] | null): void {
  if (config === null) {
    for (const { id, peerAddress } of initial ?? []) printLine(`member      ${id} ${oneLine(peerAddress)}`);
    return;
  }
  const { voters, outgoing, members } = config.config;
  const joint = outgoing.length === 0 ? '' : `, leaving voters ${outgoing.join(', ')}`;
  printLine(`members     as of entry ${config.index}: voters ${voters.join(', ')}${joint}`);
  for (const { id, peerAddress } of members) {
    const kind = voters.includes(id) || outgoing.includes(id) ? 'voter' : 'learner';
    printLine(`member      ${id} ${oneLine(peerAddress)} ${kind}`);
  }
}

function printSegments({ log }: DirectoryReport): void {
  const table = new Table({
    head: ['segment', 'blocks', 'records', 'batches', 'configs', 'entries', 'used', 'size'],
    style: { head: [], border: [], compact: true },
  });
  for (const s of log.segments) {
    const records = s.batches + s.noops + s.configs + s.hardStates;
    const entries = s.lastIndex === 0 ? '-' : `${s.firstIndex}–${s.lastIndex}`;
    const name = `${path.basename(s.file)}${s.reset ? ' (reset)' : ''}`;
    if (s.problem === null)
      table.push([name, s.blocks, records, s.batches, s.configs, entries, s.usedBytes, s.fileBytes]);
    else table.push([name, { colSpan: 6, content: oneLine(s.problem) }, s.fileBytes]);
  }
  if (log.segments.length > 0) printLine(table.toString());
}

export function time(ms: number): string {
  return ms > 0 && ms < 8.64e15 ? new Date(ms).toISOString() : String(ms);
}
