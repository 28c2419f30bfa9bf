import { CordwoodError, type ErrorCode } from '../../protocol/errors.ts';
import { isVoter, majority, memberIds } from '../core/quorum.ts';
import type { NodeId } from '../core/types.ts';
import type { Driver } from './driver.ts';
import { isLive } from './liveness.ts';
import type { Membership } from './membership.ts';
import type { Barred } from './peer-registry.ts';

/**
 * Every code a finding can have, beside those of errors that stopped the node or bar it. Codes are stable; messages are
 * not. docs/operations.md has one line for each.
 */
export const FindingCodes = [
  // node
  'QUARANTINED',
  'STOPPED',
  'PROCESS_STALLS',
  'SNAPSHOT_FAILED',
  // leader
  'LEADS',
  'FOLLOWS',
  'LEADER_UNREACHABLE',
  'NOT_ADDED',
  'INSTALLING',
  'QUORUM_UNREACHABLE',
  'ELECTING',
  // disk
  'DISK_LOW',
  'DISK_FULL',
  'DISK_STALLED',
  // writes
  'SATURATED',
  'COMMIT_WAITS',
  'TRANSFERRING',
  'FORWARDED',
  'APPLYING',
  // peer
  'PEER_DOWN',
  'PEER_SILENT',
  'PEER_SNAPSHOT',
  'PEER_LAGS',
  // members
  'CHANGING',
] as const;
export type FindingCode = (typeof FindingCodes)[number];

/** One thing the node has to say about why something is as it is. */
export interface Finding {
  readonly topic: 'node' | 'leader' | 'writes' | 'reads' | 'peer' | 'members' | 'disk';
  /** Stable, for programs. */
  readonly code: FindingCode | ErrorCode;
  /** `problem`: something does not work. `warning`: it may soon. `info`: it explains itself. */
  readonly severity: 'info' | 'warning' | 'problem';
  /** For people. */
  readonly message: string;
  /** The peer it is about. */
  readonly peer?: NodeId;
  readonly data?: Readonly<Record<string, number | string | boolean | readonly NodeId[]>>;
}

export interface Explanation {
  readonly id: NodeId;
  /** No finding is a problem. */
  readonly healthy: boolean;
  readonly summary: string;
  readonly findings: readonly Finding[];
}

export interface ExplainParts {
  readonly driver: Driver;
  readonly membership: Membership;
  readonly barred: Barred | null;
  /** Why the node stopped by itself; null: it has not. */
  readonly failure: Error | null;
}

/** Why there is no leader, why writes wait, why a peer lags, as this node sees it. */
export function explain(parts: ExplainParts): Explanation {
  const { driver } = parts;
  // Of a node that has stopped everything else is of the past.
  const findings = parts.failure !== null || driver.stopped ? aboutNode(parts) : aboutAll(parts);
  const problem = findings.find(({ severity }) => severity === 'problem');
  return {
    id: driver.options.id,
    healthy: problem === undefined,
    summary: problem?.message ?? inShort(driver, findings),
    findings,
  };
}

function aboutAll(parts: ExplainParts): Finding[] {
  const { driver } = parts;
  // A leader hears of its own disk no sooner than it must.
  if (!driver.stopped) driver.log.poll();
  return [
    ...aboutNode(parts),
    ...aboutLeader(driver),
    ...aboutDiskAndProcess(driver),
    ...aboutWrites(driver),
    ...aboutPeers(driver),
    ...aboutMembers(parts),
  ];
}

function aboutNode({ driver, barred, failure }: ExplainParts): Finding[] {
  if (failure !== null) {
    const code = CordwoodError.is(failure) ? failure.code : 'STOPPED';
    const message = `the node has stopped: ${failure.message}`;
    return [{ topic: 'node', code, severity: 'problem', message }];
  }
  if (driver.stopped)
    return [{ topic: 'node', code: 'STOPPED', severity: 'problem', message: 'the node has been closed' }];
  if (barred !== null) {
    return [{ topic: 'node', code: barred.code, severity: 'problem', message: barred.message }];
  }
  const { reason } = driver.quarantine;
  if (reason === null) return [];
  return [{ topic: 'node', code: 'QUARANTINED', severity: 'problem', message: reason }];
}

function aboutLeader(driver: Driver): Finding[] {
  const { core, options } = driver;
  const { config } = core;
  if (core.leader === options.id) {
    const message = `this node leads, in term ${core.term}`;
    return [{ topic: 'leader', code: 'LEADS', severity: 'info', message, data: { term: core.term } }];
  }
  if (core.leader !== 0) {
    const connected = driver.connected.has(core.leader);
    const message = connected
      ? `node ${core.leader} leads, in term ${core.term}`
      : `node ${core.leader} led last, but there is no connection to it`;
    const code = connected ? 'FOLLOWS' : 'LEADER_UNREACHABLE';
    const severity = connected ? 'info' : 'problem';
    return [{ topic: 'leader', code, severity, message, data: { term: core.term, leader: core.leader } }];
  }
  const finding = (code: FindingCode, message: string, data?: Finding['data']): Finding[] => [
    { topic: 'leader', code, severity: 'problem', message, ...(data === undefined ? {} : { data }) },
  ];
  if (config.voters.length === 0) {
    return finding(
      'NOT_ADDED',
      `this node waits to be added: cordwood member add ${options.id} ${options.peerAddress}`,
    );
  }
  if (core.installing) return finding('INSTALLING', 'a snapshot is being installed');
  const reachable = (id: NodeId): boolean => id === options.id || driver.connected.has(id);
  // While the voters are being changed a majority of either set is needed.
  for (const voters of [config.voters, config.outgoing]) {
    const missing = voters.filter((id) => !reachable(id));
    const needed = majority(voters.length);
    if (voters.length === 0 || voters.length - missing.length >= needed) continue;
    const message =
      `no leader: of ${voters.length} voters${config.outgoing.length === 0 ? '' : ` (${voters.join(', ')})`} ${needed} ` +
      `are needed, and this node reaches ${voters.length - missing.length}; not reached: ${missing.join(', ')}`;
    return finding('QUORUM_UNREACHABLE', message, { missing, needed });
  }
  if (isVoter(config, options.id) && driver.health.diskStalled) {
    return finding(
      'DISK_STALLED',
      'no leader is known, and this node does not ask to lead: its disk does not answer',
    );
  }
  const message = `no leader yet: an election is under way (${core.role}, term ${core.term})`;
  return finding('ELECTING', message, { term: core.term, role: core.role });
}

function aboutDiskAndProcess(driver: Driver): Finding[] {
  const { health, space } = driver;
  const findings: Finding[] = [];
  if (space.low) {
    const { full, freeBytes } = space;
    const effect = full
      ? 'it takes no more entries, and what is asked of it may wait until there is room'
      : 'it takes no writes as a leader';
    findings.push({
      topic: 'disk',
      code: full ? 'DISK_FULL' : 'DISK_LOW',
      severity: full ? 'problem' : 'warning',
      message: `the disk of this node is nearly full, ${freeBytes} bytes are left: ${effect}`,
      data: { freeBytes },
    });
  }
  if (health.diskStalled) {
    const ms = Math.round(health.oldestWriteMs);
    const message = `the disk has not answered a sync for ${ms} ms`;
    findings.push({ topic: 'disk', code: 'DISK_STALLED', severity: 'problem', message, data: { ms } });
  }
  const { failure } = driver.snapshots;
  if (failure !== null) {
    const message = `the last snapshot could not be taken: ${failure.message}; the log grows until one can`;
    findings.push({ topic: 'node', code: 'SNAPSHOT_FAILED', severity: 'warning', message });
  }
  if (health.stalls > 0) {
    const message = `the process stood still ${health.stalls} times lately`;
    findings.push({
      topic: 'node',
      code: 'PROCESS_STALLS',
      severity: 'warning',
      message,
      data: { stalls: health.stalls },
    });
  }
  return findings;
}

function aboutWrites(driver: Driver): Finding[] {
  const { core, forwarder, options, applier, now } = driver;
  const { proposals, batcher } = driver.pipeline;
  const findings: Finding[] = [];
  const add = (
    code: FindingCode,
    severity: Finding['severity'],
    message: string,
    data: Finding['data'],
  ): void => {
    findings.push({ topic: 'writes', code, severity, message, ...(data === undefined ? {} : { data }) });
  };
  if (driver.admission.saturated) {
    const bytes = driver.admission.uncommittedBytes;
    const message = `${bytes} bytes wait to be committed: this node reads no more requests`;
    add('SATURATED', 'warning', message, { bytes });
  }
  const { refusal } = driver.space;
  if (core.role === 'leader' && refusal !== null)
    add('DISK_LOW', 'problem', `this node leads and takes no writes: ${refusal}`, undefined);
  if (core.role === 'leader') {
    const waitedMs = proposals.inFlight === 0 ? 0 : Math.round(now - proposals.oldestMs);
    if (waitedMs > options.electionTimeoutMs / 4) {
      const oldest = core.commitIndex + 1;
      const behind = memberIds(core.config).filter(
        (id) =>
          isVoter(core.config, id) && (id === options.id ? core.durableIndex : matchOf(driver, id)) < oldest,
      );
      const message =
        `the oldest write waits for ${waitedMs} ms: entry ${oldest} is not yet durable on a majority; ` +
        `it is missing on node${behind.length === 1 ? '' : 's'} ${behind.join(', ')}`;
      add('COMMIT_WAITS', 'problem', message, { waitedMs, index: oldest, behind });
    }
    if (core.transferring) {
      const bytes = batcher.queuedBytes;
      add('TRANSFERRING', 'info', 'writes wait while leadership is handed over', { bytes });
    }
  } else if (forwarder.bytes > 0) {
    const bytes = forwarder.bytes;
    add('FORWARDED', 'info', `${bytes} bytes of requests are with the leader`, { bytes });
  }
  const unapplied = core.commitIndex - applier.applied;
  if (unapplied > 0) {
    add('APPLYING', 'info', `${unapplied} committed entries are not applied yet`, { entries: unapplied });
  }
  return findings;
}

function aboutPeers(driver: Driver): Finding[] {
  const { core, options } = driver;
  const findings: Finding[] = [];
  for (const { id } of core.config.members) {
    if (id === options.id) continue;
    const add = (
      code: FindingCode,
      severity: Finding['severity'],
      text: string,
      data?: Finding['data'],
    ): void => {
      const message = `node ${id} ${text}`;
      findings.push({
        topic: 'peer',
        code,
        severity,
        message,
        peer: id,
        ...(data === undefined ? {} : { data }),
      });
    };
    if (!driver.connected.has(id)) {
      const refusal = driver.transport.refusalOf?.(id);
      if (refusal === undefined) add('PEER_DOWN', 'warning', 'cannot be reached');
      else {
        const { code, message } = refusal;
        add('PEER_DOWN', 'warning', `and this node do not work together: ${message}`, { refusal: code });
      }
      continue;
    }
    const progress = core.progressOf(id);
    if (progress === undefined) continue;
    const behind = core.lastIndex - progress.match;
    const silentMs = Math.round(driver.now - progress.lastActiveMs);
    if (!isLive(driver, id))
      add('PEER_SILENT', 'warning', `has said nothing for ${silentMs} ms`, { silentMs });
    else if (progress.state === 'snapshot') {
      add('PEER_SNAPSHOT', 'info', `gets a snapshot: it is ${behind} entries behind`, { behind });
    } else if (progress.match < core.commitIndex) {
      const why =
        progress.state === 'probe' ? 'it is being asked where its log agrees' : 'entries are on their way';
      add('PEER_LAGS', 'info', `is ${behind} entries behind: ${why}`, { behind, match: progress.match });
    }
  }
  return findings;
}

function aboutMembers({ driver, membership }: ExplainParts): Finding[] {
  const { core } = driver;
  const { voters, outgoing } = core.config;
  // Without a leader a node does not know what is committed: an old change looks like one that is under way.
  if (!membership.pending || (outgoing.length === 0 && core.leader === 0)) return [];
  const message =
    outgoing.length > 0
      ? `the voters are being changed from ${outgoing.join(', ')} to ${voters.join(', ')}`
      : 'a change of the members is under way';
  return [{ topic: 'members', code: 'CHANGING', severity: 'info', message, data: { voters, outgoing } }];
}

function inShort(driver: Driver, findings: readonly Finding[]): string {
  const warnings = findings.filter(({ severity }) => severity === 'warning');
  const rest = warnings.length === 0 ? 'nothing is wrong' : warnings.map(({ message }) => message).join('; ');
  const { core, options } = driver;
  const { voters } = core.config;
  if (core.role !== 'leader') return `node ${options.id} follows node ${core.leader}; ${rest}`;
  const live = voters.filter((id) => isLive(driver, id)).length;
  return `node ${options.id} leads; ${live} of ${voters.length} voters answer; ${rest}`;
}

function matchOf(driver: Driver, id: NodeId): number {
  return driver.core.progressOf(id)?.match ?? 0;
}
