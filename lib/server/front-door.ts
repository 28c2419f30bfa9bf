import { createServer as createNetServer } from 'node:net';
import type { AddressInfo, Server as NetServer, Socket } from 'node:net';
import { CordwoodError } from '../../protocol/errors.ts';
import {
  checkOptions,
  having,
  logger,
  object,
  required,
  text,
  texts,
  wholeNumber,
  type Rules,
} from '../node/check-options.ts';
import { isolated } from '../node/tell.ts';
import type { Logger, Requests } from '../node/types.ts';
import { Connection } from './connection.ts';
import type { ConnectionHost } from './connection.ts';
import { FrameTotals } from './counted-requests.ts';
import type { HttpGateway } from './http-gateway.ts';
import { InputBudget } from './input-budget.ts';
import { resolveLimits } from './limits.ts';
import type { ServerLimits } from './limits.ts';
import { connectionsWithin, maxOpenFiles } from './open-files.ts';
import { OutputBudget } from './output-budget.ts';
import { refusal, sniff, SNIFF_BYTES, withoutEmptyLine } from './sniff.ts';
import type { Speech } from './sniff.ts';

/**
 * After so long without a byte the kernel asks whether a client is still there. By default it does after two hours: that
 * long a client whose machine or network went away would count among the connections.
 */
const KEEP_ALIVE_MS = 60_000;

export interface ServerOptions {
  /**
   * Whose door this is. The server does not own it: close the server first, then the node. When the node stops by
   * itself, the server closes.
   */
  readonly node: Requests;
  /** Port 0 takes any free one. Default host: 127.0.0.1. */
  readonly listen: { readonly host?: string; readonly port: number };
  readonly logger?: Logger;
  readonly limits?: Partial<ServerLimits>;
  /** Host names (without port) that HTTP requests may use beside the loopback ones; see `http-defence.ts`. */
  readonly allowedHosts?: readonly string[];
}

const RULES: Rules<ServerOptions> = {
  node: required(having('a node', 'submit', 'query', 'detach', 'status', 'onLeader')),
  listen: required(object),
  logger,
  limits: object,
  allowedHosts: texts('a list of host names', 0),
};
const LISTEN_RULES: Rules<ServerOptions['listen']> = { host: text, port: required(wholeNumber(0, 65_535)) };

export interface Server extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** `host:port`, with brackets around an IPv6 host. */
  readonly address: string;
  /** Open connections: of the binary protocol, of HTTP, and all together with those that have said nothing yet. */
  readonly connections: { readonly binary: number; readonly http: number; readonly total: number };
  /** Takes no more connections and requests, gives the answers that are under way, then closes. Idempotent. */
  close(): Promise<void>;
}

/** At most one line of each kind in this time, so that a flood of bad clients is no flood of lines. */
const LOG_EVERY_MS = 5_000;

/**
 * Opens a node's client port: the binary protocol and HTTP on one port, told apart by the first bytes.
 *
 * @throws CordwoodError `ADDRESS_IN_USE`, `BAD_OPTION`
 * @example
 * const node = await RaftNode.start({ ... });
 * await using server = await startServer({ node, listen: { port: 12380 } });
 * console.log(`http://${server.address}/`);
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const door = new FrontDoor(options);
  await door.listen();
  return door;
}

class FrontDoor implements Server, ConnectionHost {
  readonly node: Requests;
  readonly limits: ServerLimits;
  readonly output: OutputBudget;
  readonly input: InputBudget;
  readonly totals: FrameTotals = new FrameTotals();
  readonly #options: ServerOptions;
  readonly #listener: NetServer;
  #gateway: Promise<HttpGateway> | null = null;
  readonly #binary = new Set<Connection>();
  readonly #sockets = new Set<Socket>();
  /** Connections that have not said yet what they speak. */
  readonly #silent = new Set<Socket>();
  readonly #perAddress = new Map<string, number>();
  readonly #lastLogged = new Map<string, number>();
  #http = 0;
  #address: AddressInfo = { address: '', family: '', port: 0 };
  #stopLeaderNews: () => void = () => {};
  #closing: Promise<void> | null = null;

  constructor(options: ServerOptions) {
    checkOptions(options, RULES);
    checkOptions(options.listen, LISTEN_RULES, 'listen.');
    this.#options = options;
    this.node = options.node;
    this.limits = resolveLimits(options.limits);
    this.output = new OutputBudget(this.limits);
    this.input = new InputBudget(this.limits.maxTotalInputBytes);
    this.#listener = createNetServer(
      { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS },
      (socket) => this.#accept(socket),
    );
    this.#listener.maxConnections = this.#maxConnections();
    this.#listener.on('drop', () => this.#log('drop', {}, 'too many connections: one was closed'));
  }

  get host(): string {
    return this.#address.address;
  }

  get port(): number {
    return this.#address.port;
  }

  get address(): string {
    return this.host.includes(':') ? `[${this.host}]:${this.port}` : `${this.host}:${this.port}`;
  }

  get connections(): { binary: number; http: number; total: number } {
    return { binary: this.#binary.size, http: this.#http, total: this.#sockets.size };
  }

  /** No more than the process has room for: what it cannot open else is the next file of its log. */
  #maxConnections(): number {
    const openFiles = maxOpenFiles();
    const room = connectionsWithin(openFiles);
    const { maxConnections } = this.limits;
    if (room >= maxConnections) return maxConnections;
    const message = `takes ${room} client connections at most: the process may open ${openFiles} files and sockets`;
    this.#log('open files', { room, openFiles }, message);
    return room;
  }

  async listen(): Promise<void> {
    const { host = '127.0.0.1', port } = this.#options.listen;
    await new Promise<void>((resolve, reject) => {
      const onError = (error: NodeJS.ErrnoException): void => {
        const where = `${host}:${port}`;
        if (error.code === 'EADDRINUSE')
          reject(new CordwoodError('ADDRESS_IN_USE', `${where} is in use`, { cause: error }));
        else
          reject(
            new CordwoodError('BAD_OPTION', `cannot listen on ${where}: ${error.message}`, { cause: error }),
          );
      };
      this.#listener.once('error', onError);
      this.#listener.listen({ host, port, backlog: 1024 }, () => {
        this.#listener.off('error', onError);
        resolve();
      });
    });
    // From here on an error is one connection that could not be accepted (no file descriptors, mostly).
    this.#listener.on('error', (error) => this.#log('accept', { error: error.message }, 'could not accept'));
    this.#address = this.#listener.address() as AddressInfo;
    this.#stopLeaderNews = this.node.onLeader((leader) => {
      for (const connection of this.#binary) connection.tellLeader(leader);
    });
    // Behind the door of a node that has failed clients would be refused for ever, where others could serve them.
    void this.node.closed?.then(() => this.close());
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  onClose(connection: Connection): void {
    this.#binary.delete(connection);
  }

  onFault(connection: Connection, code: string, message: string): void {
    this.#log('fault', { remote: connection.remote, code }, message);
  }

  #accept(socket: Socket): void {
    // A reset by the other side is its way to leave; 'close' follows.
    socket.on('error', () => {});
    const remote = socket.remoteAddress ?? '';
    const open = (this.#perAddress.get(remote) ?? 0) + 1;
    if (this.#closing !== null || open > this.limits.maxConnectionsPerAddress) {
      socket.destroy();
      this.#log('drop', { remote }, 'too many connections of one address: one was closed');
      return;
    }
    this.#perAddress.set(remote, open);
    this.#sockets.add(socket);
    socket.on('close', () => {
      this.#sockets.delete(socket);
      const left = this.#perAddress.get(remote)! - 1;
      if (left === 0) this.#perAddress.delete(remote);
      else this.#perAddress.set(remote, left);
    });
    this.#sniff(socket);
  }

  /** Reads until the first bytes tell what is spoken, and hands the socket over. */
  #sniff(socket: Socket): void {
    const deadline = performance.now() + this.limits.handshakeTimeoutMs;
    let head: Buffer | null = null;
    let decided = false;
    const decide = (speech: Speech): void => {
      if (decided) return;
      decided = true;
      clearTimeout(timer);
      this.#silent.delete(socket);
      socket.off('data', onData);
      socket.off('end', onEnd);
      socket.pause();
      if (speech === 'binary') this.#openBinary(socket, head!, deadline - performance.now());
      else if (speech === 'http') this.#openHttp(socket, head!);
      else this.#refuse(socket, speech);
    };
    const onData = (chunk: Buffer): void => {
      head = head === null ? chunk : Buffer.concat([head, chunk]);
      const speech = sniff(head.subarray(0, SNIFF_BYTES));
      if (speech !== 'more') decide(speech);
    };
    // Nothing at all is how port scanners and health checks look: they get no line.
    const onEnd = (): void => {
      if (head === null) socket.destroy();
      else decide('other');
    };
    // After a stall of this process what was sent in time still lies in the socket: it is read first.
    const timer = setTimeout(() => setImmediate(decide, 'more'), this.limits.handshakeTimeoutMs);
    socket.on('data', onData);
    socket.on('end', onEnd);
    socket.once('close', () => {
      decided = true;
      clearTimeout(timer);
      this.#silent.delete(socket);
    });
    this.#silent.add(socket);
  }

  #openBinary(socket: Socket, head: Buffer, handshakeMs: number): void {
    const connection = new Connection(socket, this, handshakeMs);
    this.#binary.add(connection);
    connection.start(head);
  }

  #openHttp(socket: Socket, bytes: Buffer): void {
    const head = withoutEmptyLine(bytes);
    this.#http++;
    socket.once('close', () => this.#http--);
    socket.unshift(head);
    this.#openGateway().then(
      (gateway) => {
        if (socket.destroyed) return;
        gateway.open(socket, head);
        socket.resume();
      },
      (error: unknown) => {
        this.#log('http', { err: error }, 'HTTP cannot be served');
        socket.destroy();
      },
    );
  }

  /**
   * What speaks HTTP takes a tenth of a second to load: not in the way of a node that starts, and not at once for one
   * that nobody asks over HTTP.
   */
  #openGateway(): Promise<HttpGateway> {
    this.#gateway ??= import('./http-gateway.ts').then(({ createHttpGateway }) =>
      createHttpGateway({
        node: this.node,
        limits: this.limits,
        output: this.output,
        door: this,
        listenHost: this.#options.listen.host ?? '127.0.0.1',
        allowedHosts: this.#options.allowedHosts ?? [],
        onFault: (code, message) => this.#log('http', { code }, message),
      }),
    );
    return this.#gateway;
  }

  #refuse(socket: Socket, speech: Speech): void {
    this.#log('refuse', { remote: socket.remoteAddress ?? '?', speech }, 'a client speaks another protocol');
    socket.on('data', () => {});
    socket.on('end', () => socket.destroy());
    socket.end(refusal(speech));
    const timer = setTimeout(() => socket.destroy(), this.limits.closeGraceMs);
    socket.once('close', () => clearTimeout(timer));
    socket.resume();
  }

  async #close(): Promise<void> {
    this.#stopLeaderNews();
    const listenerClosed = new Promise<void>((resolve) => this.#listener.close(() => resolve()));
    for (const socket of this.#silent) socket.destroy();
    for (const connection of this.#binary) connection.shutDown();
    const httpClosed = this.#gateway?.then((gateway) => gateway.close());
    const cutOff = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, this.limits.closeGraceMs);
    const socketsClosed = [...this.#sockets].map(
      (socket) => new Promise((resolve) => socket.once('close', resolve)),
    );
    await Promise.all([listenerClosed, httpClosed, ...socketsClosed]);
    clearTimeout(cutOff);
  }

  #log(kind: string, fields: object, message: string): void {
    const logger = this.#options.logger;
    if (logger === undefined) return;
    const now = performance.now();
    const last = this.#lastLogged.get(kind);
    const often = last !== undefined && now - last < LOG_EVERY_MS;
    if (!often) this.#lastLogged.set(kind, now);
    isolated(() => {
      logger[often ? 'debug' : 'warn'](fields, message);
    });
  }
}
