import { connect } from 'node:net';
import { ByteWriter } from '../../../protocol/byte-writer.ts';
import { Lane, PeerKind } from '../../../protocol/constants.ts';
import { beginPeerFrame, sealPeerFrame } from '../../../protocol/peer-frame.ts';
import { createTcpTransport, type TcpTransport } from '../../../lib/transport/tcp-transport.ts';
import type { TcpTransportOptions } from '../../../lib/transport/transport-options.ts';
import type { Member } from '../../../lib/core/types.ts';
import type { Ending } from '../../support/ending.ts';

export interface Told {
  what: string;
  peer: number;
  lane?: number;
  detail?: string;
}

/** Records what a transport tells and lets a test wait for it. */
export class Listener {
  readonly told: Told[] = [];
  #waiters: (() => void)[] = [];

  readonly onFrame = (peer: number, lane: Lane, bytes: Uint8Array, start: number, end: number): void => {
    this.#tell({
      what: 'frame',
      peer,
      lane,
      detail: Buffer.from(bytes.subarray(start + 16, end)).toString('latin1'),
    });
  };
  readonly onUp = (peer: number, lane: Lane): void => this.#tell({ what: 'up', peer, lane });
  readonly onDown = (peer: number, lane: Lane): void => this.#tell({ what: 'down', peer, lane });
  readonly onRefused = (peer: number): void => this.#tell({ what: 'refused', peer });
  readonly onRejected = (peer: number, code: string, message: string): void =>
    this.#tell({ what: 'rejected', peer, detail: `${code} ${message}` });

  #tell(event: Told): void {
    this.told.push(event);
    for (const wake of this.#waiters.splice(0)) wake();
  }

  of(what: string): Told[] {
    return this.told.filter((event) => event.what === what);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }
}

export interface Node {
  id: number;
  events: Listener;
  transport: TcpTransport;
  member: Member;
}

export type Overrides = Partial<TcpTransportOptions> & {
  clusterId?: string;
  incarnation?: string;
  port?: number;
};

export async function start(test: Ending, id: number, overrides: Overrides = {}): Promise<Node> {
  const events = new Listener();
  const { clusterId = 'wood', incarnation = `data-${id}`, port = 0, ...options } = overrides;
  const transport = await createTcpTransport({
    identity: { clusterId, nodeId: id, incarnation, clientAddress: `127.0.0.1:${id}` },
    listen: { host: '127.0.0.1', port },
    events,
    ...options,
  });
  test.teardown(() => transport.close());
  return { id, events, transport, member: { id, peerAddress: `http://127.0.0.1:${transport.port}` } };
}

export async function pair(test: Ending, a: Overrides = {}, b: Overrides = {}): Promise<[Node, Node]> {
  const one = await start(test, 1, a);
  const two = await start(test, 2, b);
  one.transport.setPeers([one.member, two.member]);
  two.transport.setPeers([one.member, two.member]);
  return [one, two];
}

export const isUp =
  (node: Node, peer: number, lane: Lane): (() => boolean) =>
  () =>
    node.events.told.some((e) => e.what === 'up' && e.peer === peer && e.lane === lane);

export async function bothUp([one, two]: [Node, Node]): Promise<void> {
  for (const lane of [Lane.control, Lane.data]) {
    await one.events.until(isUp(one, 2, lane));
    await two.events.until(isUp(two, 1, lane));
  }
}

export function frame(text: string): Uint8Array {
  const out = new ByteWriter(64);
  const start = beginPeerFrame(out, PeerKind.heartbeat);
  out.bytes(Buffer.from(text, 'latin1'));
  sealPeerFrame(out, start);
  return out.take();
}

/** Everything the other side says until it closes. */
export async function conversation(port: number, first: Uint8Array | string): Promise<Buffer> {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => {});
  socket.write(first);
  await new Promise((resolve) => socket.on('close', resolve));
  return Buffer.concat(chunks);
}

/** Two nodes that have found each other. */
export async function joined(test: Ending, a: Overrides = {}, b: Overrides = {}): Promise<[Node, Node]> {
  const nodes = await pair(test, a, b);
  await bothUp(nodes);
  return nodes;
}
