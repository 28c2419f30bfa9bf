import { isVoter } from '../core/quorum.ts';
import type { Driver } from './driver.ts';
import type { Barred } from './peer-registry.ts';
import type { LeaderInfo, NodeStatus } from './types.ts';
import { VERSION } from './version.ts';

/** What `cordwood status` and the status request show. */
export function statusOf(
  driver: Driver,
  clusterId: string,
  leader: LeaderInfo | null,
  uptimeMs: number,
  barred: Barred | null,
): NodeStatus {
  const { core, options, transport, state, applier, log } = driver;
  return {
    id: options.id,
    clusterId,
    role: core.role,
    term: core.term,
    leader: leader?.id ?? null,
    leaderAddress: leader !== null && leader.address !== '' ? leader.address : null,
    clientAddress: options.clientAddress,
    lastIndex: core.lastIndex,
    commitIndex: core.commitIndex,
    appliedIndex: applier.applied,
    durableIndex: core.durableIndex,
    firstIndex: core.prevIndex + 1,
    snapshotIndex: log.snapshots.latest?.meta.index ?? 0,
    logBytes: log.stats.logBytes,
    sessions: state.sessionCount,
    config: core.config,
    peers: core.config.members
      .filter((m) => m.id !== options.id)
      .map((m) => ({
        id: m.id,
        peerAddress: m.peerAddress,
        clientAddress: transport.clientAddress(m.id) ?? null,
        connected: driver.connected.has(m.id),
        match: core.progressOf(m.id)?.match ?? null,
        voter: isVoter(core.config, m.id),
      })),
    machine: state.machine.name,
    version: VERSION,
    uptimeMs,
    quarantine: barred?.message ?? driver.quarantine.reason,
    quarantineCode: barred?.code ?? (driver.quarantine.reason === null ? null : 'LOG_DAMAGED'),
    diskFreeBytes: driver.space.freeBytes,
    diskLow: driver.space.low,
    diskFull: driver.space.full,
  };
}
