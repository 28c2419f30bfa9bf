import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

import { Lane } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import type { Hello, PeerIntroduction, PeerWelcome, Refusal } from '../../protocol/peer-handshake.ts';
import type { Member, NodeId } from '../core/types.ts';
import { judgeHello, judgeTwin, unknownPeer } from './handshake.ts';
import { InboundConnection, type InboundHost } from './inbound.ts';
import type { OutgoingLane } from './lane.ts';
import { type LinkHost, PeerLink } from './peer-link.ts';
import type { Transport } from './transport.ts';
import { type TcpTransportOptions, type TransportContext, transportContext } from './transport-options.ts';

/** A `Transport` over TCP, listening. */
export interface TcpTransport extends Transport {
  /** Where it listens. */
  readonly host: string;
  readonly port: number;
}

/** How long frames that were sent just before `close()` may take to leave. */
const CLOSE_GRACE_MS = 250;
/** Causes remembered so that each is told once. */
const MAX_CAUSES = 256;
/** What is told in the same way, and is nothing that two nodes have against each other. */
const NO_REFUSAL: ReadonlySet<string> = new Set(['UNREACHABLE', 'BAD_ADDRESS', 'TOO_LARGE']);

/**
 * Listens for peers and connects to those named by `setPeers`. Each node sends on the connections it dialled and
 * receives on those it accepted.
 *
 * @throws CordwoodError `ADDRESS_IN_USE`, or `BAD_OPTION` for an address that cannot be listened on.
 *
 * @example
 * const transport = await createTcpTransport({ identity, listen: { host: '127.0.0.1', port: 0 }, events });
 * transport.setPeers([{ id: 2, peerAddress: '127.0.0.1:22379' }]);
 */
export async function createTcpTransport(options: TcpTransportOptions): Promise<TcpTransport> {
  const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 5_000 });
  const { host, port } = options.listen;
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw code === 'EADDRINUSE'
      ? new CordwoodError('ADDRESS_IN_USE', `the peer address ${host}:${port} is in use`, { cause })
      : new CordwoodError('BAD_OPTION', `cannot listen for peers on ${host}:${port}: ${message}`, { cause });
  }
  return new NetTransport(options, server);
}

class NetTransport implements TcpTransport, LinkHost, InboundHost {
  readonly host: string;
  readonly port: number;
  readonly #options: TcpTransportOptions;
  readonly #context: TransportContext;
  readonly #server: Server;
  readonly #links = new Map<NodeId, PeerLink>();
  /** Links that peers were removed with, until their last frames have left. */
  readonly #leaving = new Set<Promise<void>>();
  readonly #inbound = new Set<InboundConnection>();
  /** Those of them that have not introduced themselves, the oldest first. */
  readonly #strangers = new Set<InboundConnection>();
  readonly #incarnations = new Map<NodeId, string>();
  readonly #clientAddresses = new Map<NodeId, string>();
  /** Where the process says it is that answers at a peer's address, as long as it does. */
  readonly #answering = new Map<NodeId, string>();
  readonly #toldCauses = new Set<string>();
  readonly #refusals = new Map<NodeId, { readonly refusal: Refusal; readonly atMs: number }>();
  /** Lanes that were sent on since the last flush; one that has taken turns with another may be in it twice. */
  #unflushed: OutgoingLane[] = [];
  #closing: Promise<void> | null = null;

  constructor(options: TcpTransportOptions, server: Server) {
    const { address, port } = server.address() as AddressInfo;
    this.host = address;
    this.port = port;
    this.#options = options;
    this.#context = transportContext(options);
    this.#server = server;
    server.on('connection', (socket) => this.#accept(socket));
    server.on('error', (error) => this.rejected(0, 'LISTEN_FAILED', error.message));
  }

  send(peer: NodeId, lane: Lane, parts: readonly Uint8Array[]): boolean {
    const outgoing = this.#links.get(peer)?.lane(lane);
    if (outgoing?.send(parts) !== true) return false;
    if (this.#unflushed.at(-1) !== outgoing) this.#unflushed.push(outgoing);
    return true;
  }

  flush(): void {
    if (this.#unflushed.length === 0) return;
    const lanes = this.#unflushed;
    this.#unflushed = [];
    for (const lane of lanes) lane.flush();
  }

  setPeers(members: readonly Member[]): void {
    if (this.#closing !== null) return;
    const wanted = new Map(members.map((member) => [member.id, member.peerAddress]));
    wanted.delete(this.#context.identity.nodeId);
    for (const [id, link] of this.#links) {
      if (wanted.has(id)) continue;
      this.#links.delete(id);
      this.#answering.delete(id);
      const leaving = link.close(CLOSE_GRACE_MS).finally(() => this.#leaving.delete(leaving));
      this.#leaving.add(leaving);
      for (const connection of this.#inbound) if (connection.peer === id) connection.destroy();
    }
    for (const [id, peerAddress] of wanted) {
      try {
        const link = this.#links.get(id);
        if (link !== undefined) link.setAddress(peerAddress);
        else this.#links.set(id, new PeerLink(this.#context, this, id, peerAddress));
      } catch (error) {
        // The address comes from the replicated configuration: a bad one must not stop this node.
        if (!(error instanceof RangeError)) throw error;
        this.rejected(id, 'BAD_ADDRESS', `node ${id}: ${error.message}`);
      }
    }
  }

  renew(peer: NodeId, lane: Lane): void {
    this.#links.get(peer)?.lane(lane).renew(0);
  }

  queuedBytes(peer: NodeId, lane: Lane): number {
    return this.#links.get(peer)?.lane(lane).queuedBytes ?? 0;
  }

  clientAddress(peer: NodeId): string | undefined {
    return this.#clientAddresses.get(peer);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const connection of this.#inbound) connection.destroy();
    const links = [...this.#links.values()];
    this.#links.clear();
    await Promise.all([...links.map((link) => link.close(CLOSE_GRACE_MS)), ...this.#leaving]);
    await closed;
  }

  #accept(socket: Socket): void {
    if (this.#closing !== null) {
      socket.destroy();
      return;
    }
    const { maxStrangers } = this.#context.limits;
    if (this.#strangers.size >= maxStrangers) {
      // Peers introduce themselves at once. Whoever has been silent for longest is none; to refuse the newcomer
      // instead would let a few silent connections, renewed at each deadline, keep every peer out.
      const [oldest] = this.#strangers;
      if (oldest !== undefined) this.#dismiss(oldest);
      this.rejected(0, 'BUSY', `more than ${maxStrangers} connections that do not introduce themselves`);
    }
    const connection = new InboundConnection(this.#context, this, socket);
    this.#inbound.add(connection);
    this.#strangers.add(connection);
  }

  /** Not counted any more from now on, though its end comes later: others may arrive in the same turn. */
  #dismiss(stranger: InboundConnection): void {
    this.#strangers.delete(stranger);
    stranger.destroy();
  }

  refusalOf(peer: NodeId): Refusal | undefined {
    const last = this.#refusals.get(peer);
    // Both sides try again at least that often. What was said once may have been mended, and the peer be down.
    const forMs = 3 * this.#context.limits.maxRedialMs;
    return last !== undefined && performance.now() - last.atMs < forMs ? last.refusal : undefined;
  }

  // — LinkHost —

  up(peer: NodeId, lane: Lane, welcome: PeerWelcome): void {
    this.#learn(welcome);
    this.#refusals.delete(peer);
    const { peerAddress } = welcome;
    if (lane === Lane.control && peerAddress !== undefined) this.#answering.set(peer, peerAddress);
    if (this.#closing === null) this.#options.events.onUp(peer, lane);
  }

  down(peer: NodeId, lane: Lane): void {
    if (lane === Lane.control) this.#answering.delete(peer);
    if (this.#closing === null) this.#options.events.onDown(peer, lane);
  }

  refused(peer: NodeId): void {
    if (this.#closing === null) this.#options.events.onRefused(peer);
  }

  // — InboundHost —

  judge(hello: Hello): Refusal | null {
    const { identity, policy } = this.#context;
    const answering = this.#answering.get(hello.from);
    const refusal =
      judgeHello(hello, identity) ?? judgeTwin(hello, answering) ?? policy?.judge(hello) ?? null;
    if (refusal !== null) return refusal;
    return this.#links.has(hello.from)
      ? (this.#options.checkPeer?.(hello) ?? null)
      : unknownPeer(hello, identity);
  }

  established(connection: InboundConnection, hello: Hello): void {
    this.#strangers.delete(connection);
    const link = this.#links.get(hello.from);
    // A peer has one connection for each lane; a new one means that it gave up the old one.
    for (const other of this.#inbound) {
      if (other !== connection && other.peer === hello.from && other.lane === hello.lane) other.destroy();
    }
    // Perhaps because nothing came back on ours: that is given up as well, unless it is young, or each of the two would
    // give up what the other has just made. The bulk lane is dialled for every snapshot, and answered on another.
    if (hello.lane !== Lane.bulk) link?.lane(hello.lane).renew(this.#context.limits.minRenewedAgeMs);
    this.#learn(hello);
    link?.nudge();
  }

  frame(peer: NodeId, lane: Lane, bytes: Uint8Array, start: number, end: number): void {
    this.#options.events.onFrame(peer, lane, bytes, start, end);
  }

  closed(connection: InboundConnection): void {
    this.#strangers.delete(connection);
    this.#inbound.delete(connection);
  }

  // — both —

  rejected(peer: NodeId, code: string, message: string): void {
    if (this.#links.has(peer) && !NO_REFUSAL.has(code))
      this.#refusals.set(peer, { refusal: { code, message }, atMs: performance.now() });
    if (this.#isNews(`${peer} ${code} ${message}`)) this.#options.events.onRejected(peer, code, message);
  }

  turnedAway(peer: NodeId, code: string, message: string): void {
    const { events } = this.#options;
    this.#refusals.set(peer, { refusal: { code, message }, atMs: performance.now() });
    if (events.onTurnedAway === undefined) this.rejected(peer, code, message);
    else if (this.#isNews(`turned away by ${peer} ${code} ${message}`))
      events.onTurnedAway(peer, code, message);
  }

  #isNews(cause: string): boolean {
    if (this.#closing !== null || this.#toldCauses.has(cause)) return false;
    if (this.#toldCauses.size >= MAX_CAUSES) this.#toldCauses.clear();
    this.#toldCauses.add(cause);
    return true;
  }

  #learn(other: PeerIntroduction): void {
    this.#clientAddresses.set(other.from, other.clientAddress);
    const known = this.#incarnations.get(other.from);
    if (known === undefined) this.#incarnations.set(other.from, other.incarnation);
    else if (known !== other.incarnation) {
      this.rejected(
        other.from,
        'INCARNATION_CHANGED',
        `node ${other.from} came back with another data directory (${other.incarnation} instead of ${known})`,
      );
    }
  }
}
