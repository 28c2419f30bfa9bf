import { DirectLogStore } from '../../../lib/log/direct-log-store.ts';
import { MemoryDisk } from '../../../lib/log/memory-disk.ts';
import { StackMachine } from '../../../lib/machine/stack-machine.ts';
import type { StateMachine } from '../../../lib/machine/state-machine.ts';
import { RaftNode } from '../../../lib/node/node.ts';
import type { Logger } from '../../../lib/node/types.ts';
import type { Transport, TransportEvents } from '../../../lib/transport/transport.ts';
import { PeerKind, StackOp, Status } from '../../../protocol/constants.ts';
import { CordwoodError } from '../../../protocol/errors.ts';
import { peerFrameKind } from '../../../protocol/peer-frame.ts';
import { decodeReport, type PeerReport } from '../../../protocol/peer-report.ts';
import { until } from '../../e2e/support/until.ts';
import { Caller } from './caller.ts';
import { DiskGate, freePorts, memoryEnvironment } from './memory-environment.ts';
import type { Ending } from '../../support/ending.ts';

export const MIN_FREE_BYTES = 40_000;
const sizes = { minSegmentBytes: 2048, maxSegmentBytes: 4096, fillBytes: 512 };

/** What node `id` sends through, in place of its transport. */
export type Through = (id: number, transport: Transport) => Transport;

/** `whole` with some methods of another's. */
export function replacing<T extends object>(whole: T, own: Partial<T>): T {
  return new Proxy(whole, {
    get(target, name) {
      if (name in own) return Reflect.get(own, name) as unknown;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
    },
  });
}

/**
 * Nodes in this process on disks in memory that outlive them. A leader whose process keeps standing still, each time for
 * a quarter of the election timeout, hands over: on a busy machine a process that has just started does that.
 */
export class MemoryCluster {
  readonly disks: MemoryDisk[];
  readonly gates: DiskGate[];
  readonly nodes: Map<number, RaftNode> = new Map();
  readonly logs: Map<number, DirectLogStore> = new Map();
  /** Whoever calls these pretends to be the transport of that node. */
  readonly inboxes: Map<number, TransportEvents> = new Map();
  readonly errors: string[] = [];
  /** Called when node `to` has taken a frame of node `from`. */
  onFrame: (to: number, bytes: Uint8Array, start: number, end: number, from: number) => void = () =>
    undefined;
  /** What node `id` runs. */
  machineOf: (id: number) => StateMachine = () => new StackMachine();
  readonly #addresses: string[];
  readonly #snapshotLogBytes: number;
  readonly #electionTimeoutMs: number;
  readonly #through: Through;

  private constructor(
    addresses: string[],
    snapshotLogBytes: number,
    electionTimeoutMs: number,
    through: Through,
  ) {
    this.#addresses = addresses;
    this.#snapshotLogBytes = snapshotLogBytes;
    this.#electionTimeoutMs = electionTimeoutMs;
    this.#through = through;
    this.disks = addresses.map(() => new MemoryDisk());
    this.gates = addresses.map(() => new DiskGate());
  }

  /** A cluster that ends with the test. */
  static async start(
    t: Ending,
    size: number,
    snapshotLogBytes: number = 64 << 20,
    electionTimeoutMs = 1000,
    through: Through = (_id, transport) => transport,
  ): Promise<MemoryCluster> {
    const ports = await freePorts(size);
    const cluster = new MemoryCluster(
      ports.map((port) => `127.0.0.1:${port}`),
      snapshotLogBytes,
      electionTimeoutMs,
      through,
    );
    t.teardown(() => cluster.#close());
    await Promise.all(ports.map((_, i) => cluster.boot(i + 1)));
    return cluster;
  }

  async boot(id: number): Promise<RaftNode> {
    const logger: Logger = {
      debug: () => undefined,
      info: () => undefined,
      warn: () => undefined,
      error: (fields, message) => {
        this.errors.push(`${id}: ${message} ${JSON.stringify(fields)}`);
      },
    };
    const open = memoryEnvironment(this.disks[id - 1]!, sizes, this.gates[id - 1]);
    const node = await RaftNode.start(
      {
        id,
        cluster: this.#addresses,
        dataDir: 'in memory',
        machine: this.machineOf(id),
        minFreeBytes: MIN_FREE_BYTES,
        heartbeatMs: this.#electionTimeoutMs / 10,
        electionTimeoutMs: this.#electionTimeoutMs,
        snapshotLogBytes: this.#snapshotLogBytes,
        logger,
      },
      async (...given) => {
        const environment = await open(...given);
        if (environment.log instanceof DirectLogStore) this.logs.set(id, environment.log);
        return {
          ...environment,
          connect: async (events, policy) => {
            this.inboxes.set(id, events);
            return this.#through(id, await environment.connect(this.#listening(id, events), policy));
          },
        };
      },
    );
    this.nodes.set(id, node);
    return node;
  }

  /** Starts a node over damaged files: it runs, whole or in quarantine, or it has refused and said why. */
  async tryBoot(id: number): Promise<RaftNode | null> {
    try {
      return await this.boot(id);
    } catch (error) {
      if (CordwoodError.is(error) && error.code === 'LOG_DAMAGED' && error.message.length > 10) return null;
      throw error;
    }
  }

  /** The events of node `to`, of whose frames `onFrame` hears. */
  #listening(to: number, events: TransportEvents): TransportEvents {
    return replacing(events, {
      onFrame: (from, lane, bytes, start, end) => {
        events.onFrame(from, lane, bytes, start, end);
        this.onFrame(to, bytes, start, end, from);
      },
    });
  }

  /** Calls `take` with each report that node `to` has taken from now on. */
  hearReports(to: number, take: (from: number, report: PeerReport) => void): void {
    this.onFrame = (id, bytes, start, end, from) => {
      if (id === to && peerFrameKind(bytes, start) === PeerKind.report)
        take(from, decodeReport(bytes, start, end));
    };
  }

  async stop(id: number): Promise<void> {
    await this.nodes.get(id)?.close();
    this.nodes.delete(id);
  }

  leader(): Promise<RaftNode> {
    return until('a leader', () =>
      [...this.nodes.values()].find((n) => n.status().role === 'leader' && !n.failure),
    );
  }

  /**
   * Pushes each value once. Nodes with short timers that have just started may elect a second leader right after the first:
   * whether what that left unknown took place is seen at the top of the stack.
   */
  async push(from: number, to: number): Promise<void> {
    for (let i = from; i < to; i++) {
      await until(`push ${i} to be done`, () => this.#pushed(`value ${i}`));
    }
  }

  /** Whether one push was done; false if it certainly was not. */
  async #pushed(text: string): Promise<boolean> {
    const { status, value } = await new Caller(await this.leader()).command(StackOp.push, 's', text);
    if (status === Status.ok) return true;
    if (status === Status.noLeader) return false;
    if (status === Status.unknown) return (await this.#top()) === text;
    throw new Error(`push of ${text}: status ${status}, ${JSON.stringify(value)}`);
  }

  /** What is on top of the stack; null if nothing is. That second leader may be lost as well before it answers. */
  async #top(): Promise<unknown> {
    const { status, value } = await until('an answer of a leader', async () => {
      const answer = await new Caller(await this.leader()).query(StackOp.top, 's');
      return answer.status === Status.noLeader ? null : answer;
    });
    if (status === Status.ok) return value;
    if (status === Status.notFound || status === Status.empty) return null;
    throw new Error(`the top: status ${status}, ${JSON.stringify(value)}`);
  }

  async #close(): Promise<void> {
    await Promise.all([...this.nodes.values()].map((n) => n.close({ transfer: false })));
  }
}

/**
 * What a node answers to a read of the stack, once it serves. The leader may notice only now that this node lacks
 * something: then it refuses until it is whole.
 */
export async function ask(node: RaftNode, op: number): Promise<unknown> {
  for (;;) {
    await until('the node to serve', () => node.leader !== null && node.status().quarantine === null);
    const { status, value } = await new Caller(node).query(op, 's');
    if (status === Status.ok) return value;
    if (status !== Status.noLeader) throw new Error(`status ${status}`);
  }
}

/** Leaves `freeBytes` on the disk of a node, and has the node look. */
export function setFree(cluster: MemoryCluster, id: number, freeBytes: number): void {
  const disk = cluster.disks[id - 1]!;
  const { totalBytes, freeBytes: now } = disk.space();
  disk.capacityBytes = totalBytes - now + freeBytes;
  cluster.logs.get(id)!.checkSpace();
}

/** Makes the files of `disk` those of an earlier copy of it. */
export function putBack(disk: MemoryDisk, copy: MemoryDisk): void {
  for (const path of disk.files()) disk.unlink(path);
  for (const path of copy.files()) {
    const fd = disk.open(path, 'create');
    disk.write(fd, [copy.content(path)], 0);
    disk.datasync(fd);
    disk.close(fd);
  }
  for (const directory of ['node', 'node/log', 'node/snapshots']) disk.syncDirectory(directory);
}
