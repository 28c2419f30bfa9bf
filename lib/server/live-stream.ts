import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket, WebSocketServer } from 'ws';
import type { Requests } from '../node/types.ts';
import { errorReply, rawReply } from './http-reply.ts';
import type { Reply } from './http-reply.ts';
import { requestTarget } from './http-request.ts';

/** The path of the stream. */
export const LIVE_PATH = '/v1/live';
const LIVE_HEAD = Buffer.from(`GET ${LIVE_PATH}`);

const DEFAULT_INTERVAL_MS = 1_000;
const MIN_INTERVAL_MS = 100;
const MAX_INTERVAL_MS = 60_000;
/** One more is refused: each costs a status for every message. */
const MAX_WATCHERS = 256;
/** A watcher that takes nothing gets nothing until it has taken this. */
const MAX_UNSENT_BYTES = 256 << 10;
/** Nothing a watcher says is read, so it may say little. */
const MAX_MESSAGE_BYTES = 4 << 10;
/** Which of the protocol's versions are spoken: a client that begins with another tries again (RFC 6455, 4.4). */
const VERSIONS = { 'sec-websocket-version': '13, 8' };
/** A watcher that has not answered a ping when the next is due is gone. */
const PING_MS = 15_000;

/**
 * `GET /v1/live` as a WebSocket: the node's status as JSON text, once at the beginning, then every `?interval=` ms
 * (1000), and at once when the leader changes. For dashboards; what a watcher sends is ignored.
 */
export class LiveStream {
  readonly #node: Requests;
  readonly #refusalOf: (incoming: IncomingMessage) => string | null;
  readonly #watchers = new Set<WebSocket>();
  #server: Promise<WebSocketServer> | null = null;
  #closed = false;

  /** @param refusalOf why a request is refused for where it comes from; null: it is not */
  constructor(node: Requests, refusalOf: (incoming: IncomingMessage) => string | null) {
    this.#node = node;
    this.#refusalOf = refusalOf;
  }

  /**
   * Whether a connection begins with a request for the stream. Such connections get an HTTP server of their own: one
   * that takes upgrades takes all of them, also those to HTTP/2 that some clients offer with every request and expect
   * to be passed over.
   */
  static isWanted(head: Uint8Array): boolean {
    return LIVE_HEAD.equals(head.subarray(0, LIVE_HEAD.length));
  }

  /** Takes a connection over, or refuses it with an HTTP answer and closes it. Never throws. */
  upgrade(incoming: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    const [path = '', query = ''] = requestTarget(incoming).split('?', 2);
    const interval = new URLSearchParams(query).get('interval') ?? String(DEFAULT_INTERVAL_MS);
    const refusal = this.#refusal(incoming, path, interval);
    if (refusal !== null) {
      socket.end(rawReply(refusal));
      return;
    }
    this.#open().then(
      (server) => {
        server.handleUpgrade(incoming, socket, head, (watcher) => this.#watch(watcher, Number(interval)));
      },
      () => socket.end(rawReply(errorReply(500, 'INTERNAL', 'this node cannot open the stream', 'unknown'))),
    );
  }

  /** Says goodbye to every watcher. */
  close(): void {
    this.#closed = true;
    for (const watcher of this.#watchers) watcher.close(1001, 'the node is stopping');
  }

  #refusal(incoming: IncomingMessage, path: string, interval: string): Reply | null {
    const refused = this.#refusalOf(incoming);
    if (refused !== null) return errorReply(403, 'UNAUTHORIZED', refused);
    if (path !== LIVE_PATH) return errorReply(404, 'NOT_FOUND', `only ${LIVE_PATH} is a WebSocket`);
    if (this.#closed) return errorReply(503, 'SHUTTING_DOWN', 'the node is stopping');
    if (this.#watchers.size >= MAX_WATCHERS) return errorReply(503, 'BUSY', 'too many watch already');
    if (Number(interval) >= MIN_INTERVAL_MS && Number(interval) <= MAX_INTERVAL_MS) return null;
    const range = `${MIN_INTERVAL_MS} to ${MAX_INTERVAL_MS}`;
    return errorReply(400, 'MALFORMED', `interval must be milliseconds from ${range}`);
  }

  /** The package is loaded for the first watcher: most nodes never have one. */
  #open(): Promise<WebSocketServer> {
    this.#server ??= import('ws').then(({ WebSocketServer: Server }) => {
      const server = new Server({
        noServer: true,
        maxPayload: MAX_MESSAGE_BYTES,
        perMessageDeflate: false,
      });
      server.on('wsClientError', (error, socket) => {
        socket.end(rawReply(errorReply(400, 'MALFORMED', error.message, 'not_applied', VERSIONS)));
      });
      return server;
    });
    return this.#server;
  }

  #watch(watcher: WebSocket, intervalMs: number): void {
    if (this.#closed) {
      watcher.close(1001, 'the node is stopping');
      return;
    }
    this.#watchers.add(watcher);
    const send = (): void => {
      if (watcher.bufferedAmount <= MAX_UNSENT_BYTES)
        watcher.send(JSON.stringify({ type: 'status', status: this.#node.status() }));
    };
    let alive = true;
    const ticks = setInterval(send, intervalMs);
    const pings = setInterval(() => {
      if (!alive) watcher.terminate();
      alive = false;
      watcher.ping();
    }, PING_MS);
    const stopNews = this.#node.onLeader(send);
    watcher.on('pong', () => (alive = true));
    // A frame that breaks the rules ends the connection; 'close' follows.
    watcher.on('error', () => undefined);
    watcher.once('close', () => {
      clearInterval(ticks);
      clearInterval(pings);
      stopNews();
      this.#watchers.delete(watcher);
    });
    send();
  }
}
