import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { CordwoodError } from '../../protocol/errors.ts';
import { Client } from '../client/index.ts';
import type { Requests } from '../node/types.ts';
import { BodyBudget } from './body-budget.ts';
import { adminRoutes } from './http-admin.ts';
import { backupRoute } from './http-backup.ts';
import { HttpTotals, metricsRoute } from './http-metrics.ts';
import type { DoorCounts } from './http-metrics.ts';
import { defencePolicy, refusalOf } from './http-defence.ts';
import { pageRoutes } from './http-pages.ts';
import { Pipelines } from './http-pipeline.ts';
import { errorReply, failureReply, sendReply } from './http-reply.ts';
import type { Reply } from './http-reply.ts';
import { announcedBytes, readRequest, timeoutOf } from './http-request.ts';
import { createRouter } from './http-router.ts';
import type { Bindings } from './http-router.ts';
import { commandRoutes, METHODS } from './http-routes.ts';
import type { Route } from './http-routes.ts';
import { createHttpServer } from './http-server.ts';
import { stackRoutes } from './http-stacks.ts';
import type { ServerLimits } from './limits.ts';
import { LIVE_PATH, LiveStream } from './live-stream.ts';
import type { OutputBudget, UnsentOutput } from './output-budget.ts';
import { stackCalls } from './stack-calls.ts';

export interface HttpGatewayOptions {
  readonly node: Requests;
  readonly limits: ServerLimits;
  /** While it is exceeded, requests are refused before they are carried out. */
  readonly output: OutputBudget;
  /** For `GET /metrics`. */
  readonly door: DoorCounts;
  readonly listenHost: string;
  readonly allowedHosts: readonly string[];
  /** Something went wrong that is this program's fault. */
  onFault(code: string, message: string): void;
}

/** HTTP for a front door that owns the listening socket. */
export interface HttpGateway {
  /** Serves a connection whose first bytes, `head`, have been put back. */
  open(socket: Socket, head: Uint8Array): void;
  /** Answers what is under way and closes. */
  close(): Promise<void>;
}

/** Beside the value: frame header, command, name and key. */
const FRAME_OVERHEAD_BYTES = 2_048;

/**
 * Builds the gateway. Bodies are read and replies written here, directly on Node's own objects, because
 * a value is bytes and its limits hold before it is anything else.
 */
export function createHttpGateway(options: HttpGatewayOptions): HttpGateway {
  const { node, limits, output } = options;
  // A client of the node's own, with a session of its own: a leader change in the middle of a request is retried
  // within the request's time, and the command still runs once.
  const client = Client.local(node, {});
  const stacks = stackCalls(client);
  const bodies = new BodyBudget(limits.maxTotalBodyBytes);
  const policy = defencePolicy(options.listenHost, options.allowedHosts);
  const totals = new HttpTotals();
  let closing = false;
  const sockets = new Map<Socket, UnsentOutput>();
  const weigh = (socket: Socket): void => void sockets.get(socket)?.weigh();
  const maxBodyBytes = Math.max(1, node.maxFrameBytes - FRAME_OVERHEAD_BYTES);

  /** Whatever is asked, this answers it and never rejects. */
  async function answer({ incoming, outgoing }: Bindings, route: Route | Reply): Promise<Response> {
    let reply: Reply;
    try {
      const refused = refusalOf(incoming.headers, policy);
      const { host, expect } = incoming.headers;
      if (host === undefined && incoming.httpVersion === '1.1')
        reply = errorReply(400, 'MALFORMED', 'the Host header is missing');
      else if (expect !== undefined && !expect.toLowerCase().includes('100-continue'))
        reply = errorReply(417, 'UNSUPPORTED', 'only 100-continue can be expected');
      else if (refused !== null) reply = errorReply(403, 'UNAUTHORIZED', refused);
      else if ('status' in route) reply = route;
      else if (output.exceeded) reply = tooManyReplies();
      else {
        await bodies.take(announcedBytes(incoming, maxBodyBytes), outgoing, timeoutOf(incoming, limits));
        reply = await route.handle(await readRequest(incoming, maxBodyBytes, limits));
        // Hundreds may have been asked for while none was there to be counted. What only reads can be read again.
        if (route.method === 'GET' && !output.hasRoomFor(reply.body?.length ?? 0)) {
          reply.stream?.close();
          reply = tooManyReplies();
        }
      }
    } catch (error) {
      reply = failureReply(error);
      if (reply.status === 500)
        options.onFault('INTERNAL', error instanceof Error ? error.message : String(error));
      // What is left of it is not read, so nothing can follow it on this connection.
      if (!incoming.complete) outgoing.shouldKeepAlive = false;
    }
    if (closing) outgoing.shouldKeepAlive = false;
    totals.add(methodOf(incoming), 'status' in route ? 'none' : route.path, reply.status);
    sendReply(outgoing, reply);
    weigh(incoming.socket);
    outgoing.once('close', () => weigh(incoming.socket));
    return RESPONSE_ALREADY_SENT;
  }

  const routes = [
    ...pageRoutes(node),
    ...commandRoutes(stacks),
    ...stackRoutes(stacks),
    ...adminRoutes(client.admin),
    backupRoute(node),
    metricsRoute(node, options.door, totals),
    {
      method: 'GET' as const,
      path: LIVE_PATH,
      handle: () =>
        errorReply(426, 'UNSUPPORTED', 'this is a WebSocket', 'not_applied', { upgrade: 'websocket' }),
    },
  ];
  const pipelines = new Pipelines(createRouter(routes, answer), limits);
  const server = createHttpServer(limits, maxBodyBytes, pipelines);
  const liveServer = createHttpServer(limits, maxBodyBytes, pipelines);
  const live = new LiveStream(node, ({ headers }) => refusalOf(headers, policy));
  liveServer.on('upgrade', (incoming, socket, head) => {
    // Behind requests that wait for their answers it would take the place of one.
    if (pipelines.of(incoming.socket).idle) live.upgrade(incoming, socket, head);
    else socket.destroy();
  });
  return {
    open: (socket, head) => {
      const cutOff = (why: string): void => {
        options.onFault('CONNECTION_LOST', why);
        socket.destroy();
      };
      sockets.set(socket, output.watch(socket, cutOff));
      socket.once('close', () => sockets.delete(socket));
      (LiveStream.isWanted(head) ? liveServer : server).emit('connection', socket);
    },
    close: async () => {
      closing = true;
      // It never listened itself, which is an error to close() and none to us.
      for (const each of [server, liveServer]) {
        each.close(() => {});
        each.closeIdleConnections();
      }
      live.close();
      // Where nothing is decided any more, nothing will be: who waits is told so while there is still time to.
      const giveUp = setTimeout(() => void stacks.close(), limits.closeGraceMs / 2);
      await Promise.all(
        [...sockets.keys()].map((socket) => new Promise((resolve) => socket.once('close', resolve))),
      );
      clearTimeout(giveUp);
      await stacks.close();
    },
  };
}

function tooManyReplies(): Reply {
  return failureReply(new CordwoodError('BUSY', 'too many replies are under way'));
}

/** For counting: what a client makes up must not make up a line of its own each time. */
function methodOf({ method = '' }: IncomingMessage): string {
  return METHODS.includes(method) ? method : 'other';
}
