import type { RaftCore } from '../core/raft-core.ts';
import type { NodeId } from '../core/types.ts';
import { spokenVersions, type VersionRange } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import type { DirectLogStore } from '../log/direct-log-store.ts';
import type { LogEvents } from '../log/log-store.ts';
import type { Environment } from '../node/bootstrap.ts';
import { RaftNode } from '../node/node.ts';
import type { NodeOptions } from '../node/types.ts';
import type { StateMachine } from '../machine/state-machine.ts';
import { CoreChecker, type CheckedNode } from './core-checker.ts';
import { ModelLog } from './model-log.ts';
import { NodeWatch } from './node-watch.ts';
import { checkRecovery } from './recovery-check.ts';
import { openSimLog, simEnvironment, type SimStart } from './sim-environment.ts';
import type { SimLog } from './sim-log.ts';
import { SimRuntime } from './sim-runtime.ts';
import { DATA_PATH, SimStorage, type DiskFault } from './sim-storage.ts';
import type { SimTransport } from './sim-transport.ts';
import type { Simulation } from './simulation.ts';

/** How often a disk is looked at: its room, and a piece of what is at rest. */
const CARE_MS = 250;

export interface SimNodeOptions extends Omit<NodeOptions, 'runtime' | 'machine' | 'dataDir' | 'id'> {
  /** A node of another cluster: watched by nobody, with a machine of its own. */
  readonly stranger?: { readonly clusterId: string; readonly machine: StateMachine };
}

/** A machine with a disk, on which one node is started, killed and started again. */
export class SimNode {
  readonly id: NodeId;
  /** @internal */
  readonly storage: SimStorage;
  readonly #simulation: Simulation;
  readonly #checker: CoreChecker;
  readonly #options: SimNodeOptions;
  #runtime: SimRuntime | null = null;
  #raft: RaftNode | null = null;
  #simLog: SimLog | null = null;
  #transport: SimTransport | null = null;
  #watch: NodeWatch | null = null;
  #damagesAtStart = 0;
  /** It refused to start over what is on its disk: nobody but an operator can help. */
  refused: Error | null = null;
  /** Of the protocol, as the program speaks it that is installed there; in force from the next start. */
  versions: VersionRange = spokenVersions;

  /** @internal A simulation makes its nodes. */
  constructor(simulation: Simulation, id: NodeId, options: SimNodeOptions) {
    this.#simulation = simulation;
    this.id = id;
    this.#options = options;
    this.#checker = options.stranger ? new CoreChecker() : simulation.checker;
    this.storage = new SimStorage(simulation.random, () => {
      this.crash(true);
    });
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

  /** It was not there when the cluster began. */
  get joins(): boolean {
    return this.#options.join === true;
  }

  /** @internal */
  get core(): RaftCore {
    return this.#raft!.core;
  }

  /** @internal */
  get log(): ModelLog {
    return this.#simLog?.log ?? new ModelLog();
  }

  /** @internal */
  get disk(): SimLog {
    return this.#simLog!;
  }

  /** @internal */
  peer(id: NodeId): CheckedNode | undefined {
    const node = this.#simulation.node(id);
    // One that never started holds nothing.
    return node && node.#simLog !== null ? node : undefined;
  }

  /** @internal */
  get tainted(): boolean {
    return this.storage.tainted;
  }

  /**
   * Nothing of what it once held can be counted on, ever: its directory was wiped, or it does not start any more, or
   * its peers have told it to keep out.
   */
  get lost(): boolean {
    return this.refused !== null || (this.tainted && this.storage.generation > 1);
  }

  /** @internal */
  get listening(): SimTransport | undefined {
    return this.up && this.#transport !== null ? this.#transport : undefined;
  }

  /** The n-th call on its disk from now meets with a fault. */
  failDisk(afterCalls: number, fault: DiskFault): void {
    if (this.up) this.storage.failAfter(afterCalls, fault);
  }

  /** The directory is lost with everything in it. The process must be down. */
  wipe(): void {
    if (this.up) throw new Error(`node ${this.id} is running`);
    this.#simulation.trace(`the directory of ${this.id} is wiped`);
    this.storage.wipe();
    this.refused = null;
  }

  start(): void {
    if (this.up || this.refused !== null) return;
    const simulation = this.#simulation;
    const runtime = new SimRuntime(simulation.events, simulation.random, simulation.clockDrift);
    this.#runtime = runtime;
    this.#raft = null;
    this.#watch = null;
    this.#transport = null;
    simulation.trace(`${this.id} starts`);
    const { stranger, ...own } = this.#options;
    const options: NodeOptions = {
      ...own,
      id: this.id,
      dataDir: DATA_PATH,
      machine: stranger?.machine ?? simulation.makeMachine(this.id),
      runtime,
      logger: simulation.loggerOf(this.id),
    };
    const start = {
      node: this,
      simulation,
      checker: this.#checker,
      options: this.#options,
      runtime,
      disk: this.storage.powerOn(),
    };
    this.#damagesAtStart = this.storage.damages;
    const open = (_: NodeOptions, __: unknown, events: LogEvents): Promise<Environment> =>
      Promise.resolve(this.#environment(start, events));
    RaftNode.start(options, open).then(
      (raft) => {
        if (runtime.dead) return;
        this.#raft = raft;
        this.#watch = new NodeWatch(this, this.#checker, (what) => {
          simulation.count(what);
        });
        simulation.count('starts');
        raft.onFailure((error) => {
          if (!runtime.dead) this.#stopped(error);
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
    simulation.network.breakPipes(this.id);
    if (machine) this.storage.losePower();
    else this.storage.kill();
    if (this.#options.stranger === undefined) simulation.onDown(this);
  }

  /** The process stands still; with `suspend` the whole machine, and its monotonic clock with it. */
  pause(suspend = false): void {
    if (!this.up || this.paused) return;
    this.#simulation.trace(`${this.id} ${suspend ? 'is suspended' : 'stands still'}`);
    this.#runtime!.pause(suspend);
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

  /** @internal Runs `action` as its process does: not while it stands still, and not once it is dead. */
  run(action: () => void): void {
    this.#runtime?.run(action);
  }

  /** @internal Looks at what has changed. Called after every event. */
  check(): void {
    if (this.up) this.#watch?.check();
  }

  /** @internal An entry's commands were applied by this process's machine. */
  applied(index: number): void {
    this.#watch?.applied(index);
  }

  #stopped(error: Error): void {
    const simulation = this.#simulation;
    simulation.trace(`${this.id} stopped: ${error.message}`);
    const { storage } = this;
    const code = CordwoodError.is(error) ? error.code : '';
    // A snapshot that was whole when the start looked, and is not when its state is read.
    const decayed = code === 'SNAPSHOT_DAMAGED' && storage.damages > this.#damagesAtStart;
    const told = storage.tainted && (code === 'LOG_DAMAGED' || decayed);
    // Damage that is met while running is for the next start to repair; what that cannot do nobody can.
    if (told && !decayed && this.#raft === null) this.refused = error;
    else if (!told && !storage.faulty) {
      simulation.fail(error instanceof Error ? error : new Error(String(error)));
    }
    // As `cordwood start` does: a node that cannot go on ends its process.
    simulation.events.after(0, () => {
      this.crash(false);
    });
  }

  #environment(start: SimStart, events: LogEvents): Environment {
    const before = this.#simLog;
    const { simLog, store } = openSimLog(start, events);
    this.#simLog = simLog;
    this.#care(start.runtime, store);
    if (before && !this.storage.tainted) checkRecovery(this, before, simLog);
    return simEnvironment(start, simLog, (transport) => {
      this.#transport = transport;
    });
  }

  /** What the log's thread does beside its work. */
  #care(runtime: SimRuntime, store: DirectLogStore): void {
    this.#simulation.events.after(CARE_MS, () => {
      if (runtime.dead) return;
      store.checkSpace();
      store.scrub();
      this.#noticeHealth();
      this.#care(runtime, store);
    });
  }

  /** A start has read everything there is, and the node is no longer in quarantine: it is whole. */
  #noticeHealth(): void {
    if (!this.storage.tainted || this.storage.generation > 1 || this.#raft === null) return;
    if (this.#damagesAtStart !== this.storage.damages) return;
    if (this.#raft.status().quarantine === null) this.storage.tainted = false;
  }
}
