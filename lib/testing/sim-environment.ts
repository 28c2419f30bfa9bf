import { isMessageKind, decodeMessage } from '../../protocol/peer-codec.ts';
import { PeerKind, PROTOCOL_VERSION } from '../../protocol/constants.ts';
import { peerFrameKind } from '../../protocol/peer-frame.ts';
import type { NodeId } from '../core/types.ts';
import { DirectLogStore } from '../log/direct-log-store.ts';
import type { Disk } from '../log/disk.ts';
import type { LogEvents } from '../log/log-store.ts';
import { PeerFile } from '../log/peer-file.ts';
import type { Environment } from '../node/bootstrap.ts';
import { nobody } from '../node/options.ts';
import type { CoreChecker } from './core-checker.ts';
import { clientAddressOf, memberOf, peerOf } from './sim-addresses.ts';
import { SimLog } from './sim-log.ts';
import type { SimNode, SimNodeOptions } from './sim-node.ts';
import type { SimRuntime } from './sim-runtime.ts';
import { DATA_PATH } from './sim-storage.ts';
import { SimTransport, simIntroduce } from './sim-transport.ts';
import type { Simulation } from './simulation.ts';

/** Small enough that segments roll over and are recycled within a story. */
const SIZES = { minSegmentBytes: 8 << 10, maxSegmentBytes: 32 << 10, fillBytes: 2 << 10, spareSegments: 1 };

/** One start of a node: the process, and what it runs on. */
export interface SimStart {
  readonly node: SimNode;
  readonly simulation: Simulation;
  readonly checker: CoreChecker;
  readonly options: SimNodeOptions;
  readonly runtime: SimRuntime;
  readonly disk: Disk;
}

/** Opens what is on the disk, as the log's thread does. */
export function openSimLog(
  { node, simulation, checker, options, runtime, disk }: SimStart,
  events: LogEvents,
): { simLog: SimLog; store: DirectLogStore } {
  let store!: DirectLogStore;
  const simLog = new SimLog(
    (logEvents) =>
      (store = new DirectLogStore({
        disk,
        path: DATA_PATH,
        events: logEvents,
        schedule: (step, bytes, run) => {
          simulation.events.after(simulation.diskMs(node.id, step, bytes), () => {
            // The disk goes on while the process stands still; its answers wait.
            if (step === 'deliver') runtime.run(run);
            else if (!runtime.dead) run();
          });
        },
        random: (bytes) => {
          for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(simulation.random.next() * 256);
        },
        sizes: { ...SIZES, lowSpaceBytes: options.minFreeBytes ?? 0 },
      })),
    {
      ...events,
      onEntry: (entry, prevTerm) => {
        checker.entryAppended(node, entry, prevTerm);
      },
    },
    (index, term) => checker.idOf(index, term),
  );
  return { simLog, store };
}

/** What the node is given in place of threads, files and sockets; `onTransport` is told once it is reachable. */
export function simEnvironment(
  start: SimStart,
  log: SimLog,
  onTransport: (transport: SimTransport) => void,
): Environment {
  const { node, simulation, options, runtime, disk } = start;
  const { network } = simulation;
  const incarnation = `disk-${node.id}-${node.storage.generation}`;
  const clusterId = options.stranger?.clusterId ?? 'simulation';
  const { versions } = node;
  const listener = (id: NodeId): SimTransport | undefined => simulation.processAt(id)?.listening;
  return {
    clusterId,
    incarnation,
    // Of a node that waits to be added.
    ...(options.join === true ? { bootstrap: nobody } : {}),
    memory: new PeerFile(disk, DATA_PATH),
    log,
    introduce: (address) => simIntroduce(network, node.id, peerOf(address), versions, listener),
    connect: (events, policy) => {
      const transport = new SimTransport({
        network,
        runtime,
        identity: {
          clusterId,
          nodeId: node.id,
          incarnation,
          clientAddress: clientAddressOf(node.id),
          peerAddress: memberOf(node.id).peerAddress,
          leaseMs: options.leaseReads === true ? options.electionTimeoutMs! : 0,
        },
        events,
        policy,
        versions,
        listener,
        onSend: (to, frame) => {
          watchFrame(start, to, frame);
        },
        onVersion: (version) => {
          if (version !== PROTOCOL_VERSION) simulation.count('connections of another version');
        },
      });
      onTransport(transport);
      return Promise.resolve(transport);
    },
    release: () => Promise.resolve(),
  };
}

function watchFrame({ node, simulation, checker }: SimStart, to: NodeId, frame: Uint8Array): void {
  const kind = peerFrameKind(frame, 0);
  if (!isMessageKind(kind)) {
    const name = frameNames.get(kind) ?? `frame ${kind}`;
    simulation.trace(`${node.id} → ${to}  ${name}, ${frame.length} bytes`);
    return;
  }
  const message = decodeMessage(frame, 0, frame.length);
  simulation.traceMessage(node.id, to, message);
  checker.sent(node, to, message);
}

const frameNames = new Map<number, string>(Object.entries(PeerKind).map(([name, kind]) => [kind, name]));
