import { RECORD_HEADER_BYTES } from '../../protocol/constants.ts';
import { RaftCore } from '../core/raft-core.ts';
import type { LogEvents, LogStore, Recovery } from '../log/log-store.ts';
import { ReplicatedState } from '../machine/replicated-state.ts';
import type { Introduction } from '../../protocol/introduction.ts';
import { isVoter } from '../core/quorum.ts';
import type { Config, NodeId } from '../core/types.ts';
import type { PeerPolicy, Transport, TransportEvents } from '../transport/transport.ts';
import { everyStep } from './every-step.ts';
import { claimMachine, releaseMachine } from './machine-claim.ts';
import type { ResolvedOptions } from './options.ts';
import { PeerRegistry, type PeerMemory } from './peer-registry.ts';
import { isAlone, newestConfig, quarantineReason } from './quarantine.ts';
import { Restoration } from './restoration.ts';
import type { NodeOptions } from './types.ts';

/** What a node stands on: files and a network, real or simulated. */
export interface Environment {
  readonly clusterId: string;
  readonly log: LogStore;
  /** This node's data directory. */
  readonly incarnation: string;
  /** In force where neither snapshot nor log has a configuration. Absent: as the options say. */
  readonly bootstrap?: Config;
  /** Which data directories this node has met. */
  readonly memory: PeerMemory;
  /** Asks a node at a peer address who it is; fails with `UNREACHABLE`. */
  introduce(address: string, timeoutMs: number, signal?: AbortSignal): Promise<Introduction>;
  /** Starts listening and dialling. Called once, when the state is recovered. */
  connect(events: TransportEvents, policy: PeerPolicy): Promise<Transport>;
  /** Gives the directory back. Called last. */
  release(): Promise<void>;
}

/** Opens the environment of one node. */
export type OpenEnvironment = (
  options: NodeOptions,
  resolved: ResolvedOptions,
  events: LogEvents,
) => Promise<Environment>;

export interface NodeParts {
  readonly clusterId: string;
  readonly environment: Environment;
  readonly registry: PeerRegistry;
  readonly core: RaftCore;
  readonly log: LogStore;
  readonly transport: Transport;
  readonly state: ReplicatedState;
  /** Why the node starts in quarantine; null: it does not. */
  readonly quarantine: string | null;
  /** Closes the connections and the log, and gives the directory back. */
  close(): Promise<void>;
}

/** First delay before a pre-vote once the leader's process is known to be gone. */
const LOST_LEADER_DELAY_MS = 8;

/** Recovers the state of a node and puts its parts together; what was opened is closed again if that fails. */
export async function openParts(
  options: NodeOptions,
  resolved: ResolvedOptions,
  logEvents: LogEvents,
  transportEvents: TransportEvents,
  open: OpenEnvironment,
): Promise<NodeParts> {
  const { machine } = options;
  claimMachine(machine);
  const restoration = new Restoration(new ReplicatedState(machine), options.onProgress);
  let environment: Environment | null = null;
  try {
    environment = await open({ ...options, onProgress: restoration.readLog }, resolved, {
      ...logEvents,
      onSnapshots: (snapshots) => {
        restoration.begin(snapshots);
      },
    });
    return await assemble(environment, restoration, resolved, transportEvents);
  } catch (error) {
    if (environment !== null) {
      await environment.log.close();
      await environment.release();
    }
    if (!restoration.touched) releaseMachine(machine);
    throw error;
  }
}

async function assemble(
  environment: Environment,
  restoration: Restoration,
  resolved: ResolvedOptions,
  transportEvents: TransportEvents,
): Promise<NodeParts> {
  const { clusterId, log } = environment;
  const { covered } = log.recovery;
  if (covered !== null)
    resolved.logger.error(
      { ...covered },
      'damage in a part of the log that a snapshot covers: it is removed',
    );
  const known = newestConfig(log.recovery, environment.bootstrap ?? resolved.bootstrap);
  const alone = isAlone(resolved.id, known, environment.memory);
  const quarantine =
    quarantineReason(log.recovery, alone, resolved.logger) ??
    (await forgotten(environment.memory, log, resolved.id, environment.bootstrap ?? resolved.bootstrap));
  await restoration.end(log);
  const core = openCore(resolved, log, environment.bootstrap ?? resolved.bootstrap);
  const { id, logger, runtime } = resolved;
  const isCommitted = (): boolean => core.configIndex <= core.commitIndex;
  const startedEmpty = log.recovery.lastIndex === 0 && quarantine === null;
  const registry = new PeerRegistry(
    {
      id,
      memory: environment.memory,
      logger,
      runtime,
      isFresh: () => startedEmpty && !(isCommitted() && isNamed(core, id, environment.incarnation)),
      graceMs: 2 * resolved.electionTimeoutMs,
      isCommitted,
      onBarred: () => {
        core.stepDown();
        // For good: no leader ever says when it is over.
        core.enterQuarantine(runtime.random() + 1, false);
      },
    },
    quarantine === null ? core.config : known,
    core.configIndex,
  );
  const transport = await environment.connect(transportEvents, {
    judge: (other) => registry.judge(other),
    get configIndex() {
      return registry.configIndex;
    },
    introduction: () => introductionOf(resolved, environment, core),
  });
  return {
    clusterId,
    environment,
    registry,
    core,
    log,
    transport,
    state: restoration.state,
    quarantine,
    close: () =>
      everyStep([
        () => transport.close(),
        // Given to nobody else while something here may still write to it.
        () => log.close().then(() => environment.release()),
      ]),
  };
}

/**
 * A node that does not remember whom it has met might believe one that came back empty, and vote with it. So it takes
 * no part until a leader is there, elected by nodes that do remember.
 *
 * Not where the configurations themselves name the directories of all others that vote: then nothing is forgotten, and of
 * two voters, or one with a learner, nobody else could ever lead, for want of one flipped bit.
 */
async function forgotten(
  memory: PeerMemory,
  log: LogStore,
  id: NodeId,
  bootstrap: Config,
): Promise<string | null> {
  const reason = memory.damage ?? null;
  if (reason === null || configsIn(log.recovery, bootstrap).every((config) => namesVoters(config, id)))
    return null;
  // The file is written anew with the first peer that is met: a crash after that must not end the quarantine.
  await log.setQuarantine(reason);
  return reason;
}

/** Every configuration that may be in force: those in the log may be void, as long as no leader has said otherwise. */
function configsIn({ snapshot, configs }: Recovery, bootstrap: Config): readonly Config[] {
  const base = snapshot?.config ?? bootstrap;
  return [base, ...configs.map(({ config }) => config)];
}

function namesVoters(config: Config, id: NodeId): boolean {
  return config.members.every((m) => m.id === id || m.incarnation !== undefined || !isVoter(config, m.id));
}

/** Whether the members have agreed that this data directory is the one of node `id`. */
function isNamed(core: RaftCore, id: NodeId, incarnation: string): boolean {
  return core.config.members.some((member) => member.id === id && member.incarnation === incarnation);
}

function introductionOf(options: ResolvedOptions, environment: Environment, core: RaftCore): Introduction {
  return {
    clusterId: environment.clusterId,
    nodeId: options.id,
    incarnation: environment.incarnation,
    peerAddress: options.peerAddress,
    clientAddress: options.clientAddress,
    // A log without entries is not enough: a voter of a new cluster has none either.
    empty: core.lastIndex === 0 && core.config.members.length === 0,
    config: core.config,
    configIndex: core.configIndex,
  };
}

/** Of a damaged log only the snapshot is gone by: what it holds is committed, and verified from end to end. */
function usable(recovery: Recovery): Recovery {
  if (recovery.damage === null) return recovery;
  const { index = 0, term = 0 } = recovery.snapshot ?? {};
  return {
    ...recovery,
    prevIndex: index,
    prevTerm: term,
    lastIndex: index,
    termRuns: [],
    sizes: [],
    configs: [],
  };
}

/**
 * Between two heartbeats of an idle leader, as a share of the election timeout. It may be late by the rest before anyone
 * asks for votes, and one that is lost is often missed; nobody waits for anything then, and voters that still hear the
 * leader refuse.
 */
const IDLE_HEARTBEAT_SHARE = 0.7;

function openCore(options: ResolvedOptions, log: LogStore, bootstrap: Config): RaftCore {
  const recovery = usable(log.recovery);
  return new RaftCore(
    {
      id: options.id,
      heartbeatMs: options.heartbeatMs,
      // An idle cluster costs what its heartbeats cost: each wakes every node.
      idleHeartbeatMs: Math.max(options.heartbeatMs, IDLE_HEARTBEAT_SHARE * options.electionTimeoutMs),
      electionTimeoutMs: options.electionTimeoutMs,
      lostLeaderDelayMs: LOST_LEADER_DELAY_MS,
      maxMessageBytes: options.maxBatchBytes,
      maxInflightMessages: 64,
      maxInflightBytes: 16 << 20,
      emptyEntryBytes: RECORD_HEADER_BYTES,
      leases: options.leaseReads,
      seed: options.runtime.random(),
    },
    {
      hardState: recovery.hardState,
      snapshot: recovery.snapshot,
      prevIndex: recovery.prevIndex,
      prevTerm: recovery.prevTerm,
      termRuns: recovery.termRuns,
      lastIndex: recovery.lastIndex,
      sizes: recovery.sizes,
      configs: recovery.configs,
      bootstrap,
      nowMs: options.runtime.now(),
    },
  );
}
