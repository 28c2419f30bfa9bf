import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import {
  encodeLeader,
  encodeResponse,
  encodeWelcome,
  frameFlags,
  frameKind,
  frameRequestId,
  isWriteKind,
  type LeaderHint,
  writeSeq,
  writeSession,
  writeWindow,
} from '../../protocol/client-codec.ts';
import {
  FRAME_HEADER_BYTES,
  Kind,
  Limits,
  PREAMBLE_BYTES,
  Status,
  WRITE_HEADER_BYTES,
} from '../../protocol/constants.ts';
import { FrameSplitter } from '../../protocol/frame-splitter.ts';
import { encodeValue } from '../../protocol/msgpack.ts';
import { StackMachine } from '../../lib/machine/stack-machine.ts';

/** One frame of a client, taken apart. */
export interface Frame {
  readonly kind: number;
  readonly flags: number;
  readonly requestId: number;
  readonly window: number;
  readonly session: number;
  readonly seq: number;
  readonly body: Buffer;
}

export interface Reply {
  readonly status: number;
  readonly body: Uint8Array;
}

/** What was done with a command, for the tests to judge. */
export interface Applied {
  readonly session: number;
  readonly seq: number;
  readonly body: Buffer;
}

interface FakeSession {
  low: number;
  readonly answers: Map<number, Reply>;
}

const nothing = new Uint8Array(0);

/**
 * A cluster that speaks the wire and agrees with itself because it is one object: sessions and the stack machine
 * as the real nodes have them, and hooks to misbehave in every way a network or a node can.
 */
export class FakeCluster {
  readonly clusterId: string;
  readonly nodes: FakeNode[] = [];
  readonly applied: Applied[] = [];
  readonly sessions: Map<number, FakeSession> = new Map();
  readonly machine: StackMachine = new StackMachine();
  leaderId: number | null = 1;
  maxFrameBytes: number = Limits.maxFrameBytes;
  maxWindow: number = Limits.maxSessionWindow;
  sessionsOpened = 0;
  readonly #out = new ByteWriter();
  #keys = new Map<string, Reply>();

  constructor(clusterId = 'fake') {
    this.clusterId = clusterId;
  }

  static async start(nodes = 1, clusterId?: string): Promise<FakeCluster> {
    const cluster = new FakeCluster(clusterId);
    for (let id = 1; id <= nodes; id++) {
      const node = new FakeNode(cluster, id);
      cluster.nodes.push(node);
      await node.listen();
    }
    return cluster;
  }

  node(id: number): FakeNode {
    return this.nodes[id - 1]!;
  }

  get addresses(): string[] {
    return this.nodes.map((node) => node.address);
  }

  get leader(): LeaderHint | null {
    return this.leaderId === null ? null : { id: this.leaderId, address: this.node(this.leaderId).address };
  }

  /** Tells every connected client, as nodes do. */
  setLeader(id: number | null): void {
    this.leaderId = id;
    for (const node of this.nodes) for (const link of node.links) link.sendLeader(this.leader);
  }

  expireSessions(): void {
    this.sessions.clear();
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  /** What a cluster with a quorum answers. */
  execute(frame: Frame): Reply {
    switch (frame.kind) {
      case Kind.openSession: {
        const id = ++this.sessionsOpened;
        this.sessions.set(id, { low: 1, answers: new Map() });
        return { status: Status.ok, body: encodeValue(id) };
      }
      case Kind.keepAlive:
        return {
          status: this.sessions.has(frame.session) ? Status.ok : Status.sessionExpired,
          body: nothing,
        };
      case Kind.closeSession:
        this.sessions.delete(frame.session);
        return { status: Status.ok, body: nothing };
      case Kind.command:
        return frame.session === 0 ? this.#apply(frame, frame.body) : this.#executeInSession(frame);
      case Kind.keyedCommand: {
        const keyEnd = 2 + frame.body.readUInt16LE(0);
        const key = frame.body.toString('utf8', 2, keyEnd);
        const known = this.#keys.get(key);
        if (known !== undefined) return known;
        const reply = this.#apply(frame, frame.body.subarray(keyEnd));
        this.#keys.set(key, reply);
        return reply;
      }
      case Kind.query: {
        const status = this.machine.query(frame.body, 0, frame.body.length, this.#out);
        return { status, body: this.#taken() };
      }
      case Kind.status:
        return { status: Status.ok, body: encodeValue({ id: 1, role: 'leader' }) };
      case Kind.ping:
        return { status: Status.ok, body: nothing };
      default:
        return { status: Status.unsupported, body: nothing };
    }
  }

  #executeInSession(frame: Frame): Reply {
    const session = this.sessions.get(frame.session);
    if (session === undefined) return { status: Status.sessionExpired, body: nothing };
    const low = frame.seq - frame.window;
    if (low > session.low) {
      session.low = low;
      // Nearly in order: what is left behind is refused by `low` all the same.
      for (const seq of session.answers.keys()) {
        if (seq >= low) break;
        session.answers.delete(seq);
      }
    }
    if (frame.seq < session.low) return { status: Status.alreadyAcked, body: nothing };
    let reply = session.answers.get(frame.seq);
    if (reply === undefined) {
      reply = this.#apply(frame, frame.body);
      session.answers.set(frame.seq, reply);
    }
    return reply;
  }

  #apply(frame: Frame, body: Buffer): Reply {
    this.applied.push({ session: frame.session, seq: frame.seq, body });
    const status = this.machine.apply(body, 0, body.length, this.#out);
    return { status, body: this.#taken() };
  }

  #taken(): Uint8Array {
    const body = this.#out.buffer.subarray(0, this.#out.position);
    this.#out.clear();
    return new Uint8Array(body);
  }
}

/** One client's connection to a fake node. */
export class FakeLink {
  readonly node: FakeNode;
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  readonly #out = new ByteWriter();
  #scheduled = false;

  constructor(node: FakeNode, socket: Socket) {
    this.node = node;
    this.socket = socket;
  }

  respond(requestId: number, status: number, body: Uint8Array = nothing): void {
    encodeResponse(this.#out, requestId, status as Status, body);
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#flush();
    });
  }

  sendLeader(leader: LeaderHint | null): void {
    const out = new ByteWriter(64);
    encodeLeader(out, leader);
    this.sendRaw(out.take());
  }

  /** Sends bytes behind the answers given so far. */
  sendRaw(bytes: Uint8Array): void {
    this.#flush();
    if (!this.socket.destroyed) this.socket.write(bytes);
  }

  /** What this node does with a frame if nobody interferes. */
  answer(frame: Frame): void {
    const { cluster } = this.node;
    const needsLeader = isWriteKind(frame.kind) || (frame.kind === Kind.query && frame.flags < 2);
    if (needsLeader && (cluster.leaderId === null || cluster.node(cluster.leaderId).stopped)) {
      this.respond(frame.requestId, Status.noLeader);
      return;
    }
    const { status, body } = cluster.execute(frame);
    this.respond(frame.requestId, status, body);
  }

  /** Ends the connection; answers given in this turn are lost with it. */
  drop(): void {
    this.socket.destroy();
  }

  #flush(): void {
    this.#scheduled = false;
    if (this.#out.position === 0) return;
    const bytes = this.#out.take();
    if (!this.socket.destroyed) this.socket.write(bytes);
  }
}

export class FakeNode {
  readonly cluster: FakeCluster;
  readonly id: number;
  readonly links: Set<FakeLink> = new Set();
  /** All frames this node has seen. */
  readonly frames: Frame[] = [];
  stopped = false;
  port = 0;
  /** Handles a frame instead of `link.answer`. */
  onFrame: (frame: Frame, link: FakeLink) => void = (frame, link) => {
    link.answer(frame);
  };
  /** Answers a connection instead of the welcome. */
  onPreamble: (link: FakeLink) => void = (link) => {
    link.sendRaw(this.welcome());
  };
  #server: Server | null = null;
  #watchers: (() => void)[] = [];

  constructor(cluster: FakeCluster, id: number) {
    this.cluster = cluster;
    this.id = id;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  welcome(): Buffer {
    const out = new ByteWriter(256);
    const { clusterId, leader, maxFrameBytes, maxWindow } = this.cluster;
    encodeWelcome(out, { version: 1, clusterId, nodeId: this.id, leader, maxFrameBytes, maxWindow });
    return out.take();
  }

  async listen(): Promise<void> {
    const server = createServer((socket) => {
      this.#accept(socket);
    });
    this.#server = server;
    this.stopped = false;
    server.listen(this.port, '127.0.0.1');
    await once(server, 'listening');
    this.port = (server.address() as AddressInfo).port;
  }

  /** As a killed process: connections end, new ones are refused. */
  async stop(): Promise<void> {
    this.stopped = true;
    for (const link of this.links) link.drop();
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    await new Promise<void>((resolve) => {
      server.close(() => {
        resolve();
      });
    });
  }

  dropAll(): void {
    for (const link of this.links) link.drop();
  }

  /** Frames of one kind that this node has seen. */
  seen(kind: number): Frame[] {
    return this.frames.filter((frame) => frame.kind === kind);
  }

  /** Resolves when `condition` holds; it is looked at whenever something arrives here. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#watchers.push(resolve));
  }

  #accept(socket: Socket): void {
    const link = new FakeLink(this, socket);
    const splitter = new FrameSplitter(64 << 20);
    let preamble = 0;
    this.links.add(link);
    socket.setNoDelay();
    socket.on('error', () => {});
    socket.on('close', () => {
      this.links.delete(link);
      this.#wake();
    });
    socket.on('data', (chunk: Buffer) => {
      if (preamble < PREAMBLE_BYTES) {
        const taken = Math.min(PREAMBLE_BYTES - preamble, chunk.length);
        preamble += taken;
        chunk = chunk.subarray(taken);
        if (preamble === PREAMBLE_BYTES) this.onPreamble(link);
      }
      splitter.push(chunk, (bytes, start, end) => {
        const frame = parseFrame(bytes, start, end);
        this.frames.push(frame);
        link.frames.push(frame);
        if (!socket.destroyed) this.onFrame(frame, link);
      });
      this.#wake();
    });
    this.#wake();
  }

  #wake(): void {
    const watchers = this.#watchers;
    this.#watchers = [];
    for (const wake of watchers) wake();
  }
}

function parseFrame(bytes: Uint8Array, start: number, end: number): Frame {
  const kind = frameKind(bytes, start);
  const write = isWriteKind(kind);
  return {
    kind,
    flags: frameFlags(bytes, start),
    requestId: frameRequestId(bytes, start),
    window: write ? writeWindow(bytes, start) : 0,
    session: write ? writeSession(bytes, start) : 0,
    seq: write ? writeSeq(bytes, start) : 0,
    body: Buffer.from(bytes.slice(start + (write ? WRITE_HEADER_BYTES : FRAME_HEADER_BYTES), end)),
  };
}

/** A port nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
