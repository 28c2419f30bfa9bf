import type { RaftCore } from '../core/raft-core.ts';
import type { Member, NodeId } from '../core/types.ts';
import { decodeMessage, isMessageKind } from '../../protocol/peer-codec.ts';
import { PeerKind } from '../../protocol/constants.ts';
import { peerFrameKind } from '../../protocol/peer-frame.ts';
import { DirectLogStore } from '../log/direct-log-store.ts';
import { MemoryDisk } from '../log/memory-disk.ts';
import { PeerFile } from '../log/peer-file.ts';
import type { LogEvents } from '../log/log-store.ts';
import type { Environment } from '../node/bootstrap.ts';
import { RaftNode } from '../node/node.ts';
import type { NodeOptions } from '../node/types.ts';
import { fail, type CheckedNode } from './core-checker.ts';
import { ModelLog } from './model-log.ts';
import { SimLog } from './sim-log.ts';
import { SimRuntime } from './sim-runtime.ts';
import { SimTransport, simIntroduce } from './sim-transport.ts';
import type { Simulation } from './simulation.ts';

const PATH = 'data';
/** Small enough that segments roll over and are recycled within a story. */
const SIZES = { minSegmentBytes: 8 << 10, maxSegmentBytes: 32 << 10, fillBytes: 2 << 10, spareSegments: 1 };

/** A machine with a disk, on which one node is started, killed and started again. */
export class SimNode implements CheckedNode {
  readonly id: NodeId;
  readonly storage: MemoryDisk = new MemoryDisk();
  readonly #simulation: Simulation;
  readonly #options: Omit<NodeOptions, 'runtime' | 'machine' | 'dataDir' | 'id'>;
  #runtime: SimRuntime | null = null;
  #raft: RaftNode | null = null;
  #simLog: SimLog | null = null;
  #transport: SimTransport | null = null;
  #lastTerm = 0;
  #lastCommit = 0;
  #lastApplied = 0;
  /** Calls on the disk until one fails with `#diskError`; Infinity: none does. */
  #callsToError = Infinity;
  #diskError = 'EIO';
  /** Errors its disk was told to make: the node may then stop by itself. */
  faulty = false;

  constructor(
    simulation: Simulation,
    id: NodeId,
    options: Omit<NodeOptions, 'runtime' | 'machine' | 'dataDir' | 'id'>,
  ) {
    this.#simulation = simulation;
    this.id = id;
    this.#options = options;
    this.storage.onCall = () => {
      if (--this.#callsToError > 0) return undefined;
      this.#callsToError = Infinity;
      const { random } = simulation;
      if (this.#diskError === 'short') return 1 + Math.floor(random.next() * 64);
      throw Object.assign(new Error(`${this.#diskError}: the simulated disk`), { code: this.#diskError });
    };
  }

  /** The process is there (it may stand still). */
  get up(): boolean {
    return this.#runtime !== null && !this.#runtime.dead;
  }

  get paused(): boolean {
    return this.#runtime?.paused === true;
  }

  /** The node, once it has started; null while it is down or recovers. */
  get raft(): RaftNode | null {
    return this.up ? this.#raft : null;
  }

  get core(): RaftCore {
    return this.#raft!.core;
  }

  get log(): ModelLog {
    return this.#simLog?.log ?? new ModelLog();
  }

  get disk(): SimLog {
    return this.#simLog!;
  }

  peer(id: NodeId): CheckedNode | undefined {
    const node = this.#simulation.node(id);
    // One that never started holds nothing.
    return node && node.#simLog !== null ? node : undefined;
  }

  get listening(): SimTransport | undefined {
    return this.up && this.#transport !== null ? this.#transport : undefined;
  }

  /** The n-th call on its disk from now fails: with an error, or by moving a few bytes only (`short`). */
  failDisk(afterCalls: number, error: 'EIO' | 'ENOSPC' | 'short'): void {
    this.#callsToError = afterCalls;
    this.#diskError = error;
    if (error !== 'short') this.faulty = true;
  }

  start(): void {
    if (this.up) return;
    const simulation = this.#simulation;
    const runtime = new SimRuntime(simulation.events, simulation.random, simulation.clockDrift);
    this.#runtime = runtime;
    this.#raft = null;
    this.#transport = null;
    this.#callsToError = Infinity;
    this.faulty = false;
    simulation.trace(`${this.id} starts`);
    const options: NodeOptions = {
      ...this.#options,
      id: this.id,
      dataDir: PATH,
      machine: simulation.makeMachine(this.id),
      runtime,
      logger: simulation.loggerOf(this.id),
    };
    const open = (_: NodeOptions, __: unknown, events: LogEvents): Promise<Environment> =>
      Promise.resolve(this.#environment(runtime, events));
    RaftNode.start(options, open).then(
      (raft) => {
        if (runtime.dead) return;
        this.#raft = raft;
        this.#lastTerm = raft.core.term;
        this.#lastCommit = raft.core.commitIndex;
        this.#lastApplied = 0;
        raft.onFailure((error) => {
          this.#stopped(error);
        });
      },
      (error: unknown) => {
        if (!runtime.dead) this.#stopped(error as Error);
      },
    );
  }

  /** The process is killed; with `machine` the whole machine stops, and with it what was not synced is in doubt. */
  crash(machine: boolean): void {
    if (!this.up) return;
    const simulation = this.#simulation;
    simulation.trace(`${this.id} ${machine ? 'loses power' : 'is killed'}`);
    this.#runtime!.kill();
    this.#callsToError = Infinity;
    simulation.network.breakPipes(this.id);
    if (machine) this.storage.crash((below) => Math.floor(simulation.random.next() * below));
    else this.storage.kill();
  }

  pause(): void {
    if (!this.up || this.paused) return;
    this.#simulation.trace(`${this.id} stands still`);
    this.#runtime!.pause();
  }

  resume(): void {
    if (!this.paused) return;
    this.#simulation.trace(`${this.id} goes on`);
    this.#runtime!.resume();
  }

  /** The operator, or NTP, sets its wall clock. */
  jumpWallClock(byMs: number): void {
    if (this.#runtime) this.#runtime.wallOffsetMs += byMs;
  }

  /** Runs `action` as its process does: not while it stands still, and not once it is dead. */
  run(action: () => void): void {
    this.#runtime?.run(action);
  }

  /** Checks what has changed. Cheap: it is called after every event. */
  check(): void {
    const raft = this.raft;
    if (!raft) return;
    const { core } = raft;
    const { checker } = this.#simulation;
    if (core.term < this.#lastTerm) fail(this, `term went back from ${this.#lastTerm} to ${core.term}`);
    this.#lastTerm = core.term;
    const { state } = core;
    // What the core has decided and the driver has not carried out yet is not in the model.
    if (state.unwrittenFirst !== 0 || state.resetTo !== null || state.created.length > 0) return;
    if (core.role === 'leader') checker.leads(this, core.term);
    if (core.commitIndex !== this.#lastCommit) {
      checker.commitMoved(this, this.#lastCommit, core.commitIndex);
      this.#lastCommit = core.commitIndex;
      checker.checkLeader(this);
    }
    if (this.log.lastIndex !== core.lastIndex) {
      fail(this, `its log ends at ${core.lastIndex}, what it wrote at ${this.log.lastIndex}`);
    }
  }

  /** An entry's commands were applied by this process's machine. */
  applied(index: number): void {
    if (index < this.#lastApplied) fail(this, `applied ${index} after ${this.#lastApplied}`);
    this.#lastApplied = index;
    const core = this.#raft?.core;
    if (core && index > core.commitIndex) fail(this, `applied ${index}, committed is ${core.commitIndex}`);
  }

  #stopped(error: Error): void {
    const simulation = this.#simulation;
    simulation.trace(`${this.id} stopped: ${error.message}`);
    if (!this.faulty) simulation.fail(error instanceof Error ? error : new Error(String(error)));
    // As `cordwood start` does: a node that cannot go on ends its process.
    simulation.events.after(0, () => {
      this.crash(false);
    });
  }

  #environment(runtime: SimRuntime, events: LogEvents): Environment {
    const simulation = this.#simulation;
    const { network, random } = simulation;
    const guarded = (action: () => void): void => {
      runtime.run(action);
    };
    const before = this.#simLog;
    const simLog = new SimLog(
      (logEvents) =>
        new DirectLogStore({
          disk: this.storage,
          path: PATH,
          events: logEvents,
          schedule: (step, bytes, run) => {
            simulation.events.after(simulation.diskMs(step, bytes), () => {
              // The disk goes on while the process stands still; its answers wait.
              if (step === 'deliver') guarded(run);
              else if (!runtime.dead) run();
            });
          },
          random: (bytes) => {
            for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(random.next() * 256);
          },
          sizes: SIZES,
        }),
      {
        ...events,
        onDurable: (ticket) => {
          events.onDurable(ticket);
        },
        onFailure: (error) => {
          events.onFailure(error);
        },
        onEntry: (entry, prevTerm) => {
          simulation.checker.entryAppended(this, entry, prevTerm);
        },
      },
      (index, term) => simulation.checker.idOf(index, term),
    );
    this.#simLog = simLog;
    if (before) this.#compareWith(before);
    const incarnation = `disk-${this.id}`;
    return {
      clusterId: 'simulation',
      incarnation,
      memory: new PeerFile(this.storage, PATH),
      log: simLog,
      introduce: (address) =>
        simIntroduce(network, this.id, peerOf(address), (id) => simulation.node(id)?.listening),
      connect: (transportEvents, policy) => {
        const transport = new SimTransport({
          network,
          runtime,
          identity: {
            clusterId: 'simulation',
            nodeId: this.id,
            incarnation,
            clientAddress: clientAddressOf(this.id),
            peerAddress: memberOf(this.id).peerAddress,
          },
          events: transportEvents,
          policy,
          listener: (id) => simulation.node(id)?.listening,
          onSend: (to, frame) => {
            this.#sends(to, frame);
          },
        });
        this.#transport = transport;
        return Promise.resolve(transport);
      },
      release: () => Promise.resolve(),
    };
  }

  /** What was durable by the log's own word must have been found again. */
  #compareWith(before: SimLog): void {
    const now = this.#simLog!;
    const { recovery } = now;
    if (recovery.damage ?? recovery.doubt) {
      const damage = (recovery.damage ?? recovery.doubt)!;
      fail(this, `recovery finds damage after a crash: ${damage.file} at ${damage.offset}: ${damage.reason}`);
    }
    if (recovery.hardState.term < before.hardState.term) {
      fail(this, `term ${before.hardState.term} was durable, found is ${recovery.hardState.term}`);
    }
    if (
      recovery.hardState.term === before.hardState.term &&
      recovery.hardState.vote !== before.hardState.vote
    ) {
      if (before.hardState.vote !== 0)
        fail(this, `the vote of term ${recovery.hardState.term} is another one`);
    }
    const from = Math.max(before.durable.prevIndex, now.durable.prevIndex);
    for (const entry of before.durable.entries) {
      if (entry.index <= from || entry.index <= (recovery.snapshot?.index ?? 0)) continue;
      const found = now.durable.get(entry.index);
      if (found?.id === entry.id) continue;
      // It was about to be replaced, and has been; what stood behind it went with it.
      if (found && found.term > entry.term) break;
      fail(
        this,
        `entry ${entry.index}/${entry.term} was durable and is gone (log ends at ${recovery.lastIndex})`,
      );
    }
  }

  #sends(to: NodeId, frame: Uint8Array): void {
    const kind = peerFrameKind(frame, 0);
    if (this.#simLog === null) return;
    if (!isMessageKind(kind)) {
      this.#simulation.trace(
        `${this.id} → ${to}  ${frameNames.get(kind) ?? `frame ${kind}`}, ${frame.length} bytes`,
      );
      return;
    }
    this.#simulation.sent(this, to, decodeMessage(frame, 0, frame.length));
  }
}

const frameNames = new Map<number, string>(Object.entries(PeerKind).map(([name, kind]) => [kind, name]));

export function memberOf(id: NodeId): Member {
  return { id, peerAddress: `node-${id}:9000` };
}

export function clientAddressOf(id: NodeId): string {
  return `node-${id}:8000`;
}

/** The node at an address of a peer or client port. */
export function peerOf(address: string): NodeId {
  return Number(/^node-(\d+):/.exec(address)?.[1] ?? 0);
}
