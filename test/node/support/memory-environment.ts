import { randomFillSync, randomUUID } from 'node:crypto';
import { parseAddress } from '../../../protocol/address.ts';
import type { LogSizes } from '../../../lib/log/log-options.ts';
import { DirectLogStore } from '../../../lib/log/direct-log-store.ts';
import { MemoryDisk } from '../../../lib/log/memory-disk.ts';
import { ownerOf } from '../../../lib/log/open-log-files.ts';
import { PeerFile } from '../../../lib/log/peer-file.ts';
import { askIntroduction } from '../../../lib/transport/ask-introduction.ts';
import type { OpenEnvironment } from '../../../lib/node/bootstrap.ts';
import { createTcpTransport } from '../../../lib/transport/tcp-transport.ts';

export { freePorts } from '../../e2e/support/ports.ts';

/** A disk that can be made to stand still: its work waits until it goes on. */
export class DiskGate {
  #waiting: (() => void)[] | null = null;

  stall(): void {
    this.#waiting ??= [];
  }

  goOn(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    for (const run of waiting) run();
  }

  /** Lets the oldest piece of work through that waits. False: none does. */
  letThrough(): boolean {
    const run = this.#waiting?.shift();
    run?.();
    return run !== undefined;
  }

  pass(run: () => void): void {
    if (this.#waiting === null) setImmediate(run);
    else this.#waiting.push(run);
  }
}

/** Real sockets, the real log, a disk in memory that outlives the node: for tests of the driver. */
export function memoryEnvironment(
  disk: MemoryDisk,
  sizes: Partial<LogSizes> = {},
  gate: DiskGate = new DiskGate(),
): OpenEnvironment {
  return (_options, resolved, events) => {
    const incarnation = incarnationOf(disk);
    const log = new DirectLogStore({
      disk,
      path: 'node',
      owner: ownerOf('test', resolved.id, incarnation),
      events,
      schedule: (_step, _bytes, run) => {
        gate.pass(run);
      },
      random: (bytes) => {
        randomFillSync(bytes);
      },
      sizes: { minSegmentBytes: 256 << 10, maxSegmentBytes: 1 << 20, ...sizes },
    });
    return Promise.resolve({
      clusterId: 'test',
      incarnation,
      memory: new PeerFile(disk, 'node'),
      log,
      introduce: (address, timeoutMs, signal) => askIntroduction(address, { timeoutMs, signal }),
      connect: (transportEvents, policy) =>
        createTcpTransport({
          identity: {
            clusterId: 'test',
            nodeId: resolved.id,
            incarnation,
            clientAddress: resolved.clientAddress,
            peerAddress: resolved.peerAddress,
            priority: resolved.priority,
            leaseMs: resolved.leaseReads ? resolved.electionTimeoutMs : 0,
          },
          listen: parseAddress(resolved.peerAddress),
          events: transportEvents,
          policy,
        }),
      release: () => Promise.resolve(),
    });
  };
}

const incarnations = new WeakMap<MemoryDisk, string>();

/** A disk is a data directory: another disk, another incarnation. */
function incarnationOf(disk: MemoryDisk): string {
  let incarnation = incarnations.get(disk);
  if (incarnation === undefined) {
    incarnation = randomUUID();
    incarnations.set(disk, incarnation);
  }
  return incarnation;
}
