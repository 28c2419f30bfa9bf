import { createServer } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import type { Pipelines } from './http-pipeline.ts';
import { errorReply, rawReply } from './http-reply.ts';
import { METHODS } from './http-routes.ts';
import type { ServerLimits } from './limits.ts';

/** Node's HTTP server for connections that a front door has accepted; every request goes to its connection's pipeline. */
export function createHttpServer(limits: ServerLimits, maxBodyBytes: number, pipelines: Pipelines): Server {
  const server = createServer({
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: Math.min(limits.headersTimeoutMs, limits.requestTimeoutMs),
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    connectionsCheckingInterval: Math.max(50, Math.min(1_000, limits.headersTimeoutMs / 4)),
    // Answers that Node gives by itself would not wait for their turn: the gateway gives this one.
    requireHostHeader: false,
  });
  // Node would pass over those behind the hundredth: an Idempotency-Key, and the push runs twice. Their bytes are bounded.
  server.maxHeadersCount = 0;
  // A connection on which nothing moves for longer than any command may take is dead, or takes no reply.
  server.timeout = limits.maxCommandTimeoutMs + 5_000;
  // Who has said everything (`nc -N`) still waits for the answers.
  (server as { httpAllowHalfOpen?: boolean }).httpAllowHalfOpen = true;
  // Node checks the timeouts of requests only on servers that listen; this one's sockets come from elsewhere.
  server.emit('listening');
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy();
    else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') pipelines.of(socket).late(TIMEOUT);
    else pipelines.of(socket).fail(error.code === 'HPE_HEADER_OVERFLOW' ? HEADER_OVERFLOW : MALFORMED);
  });
  const serve = pipelines.add.bind(pipelines);
  server.on('request', serve);
  server.on('checkExpectation', serve);
  server.on('checkContinue', (incoming: IncomingMessage, outgoing) => {
    // A body that will be refused for its size need not be sent at all.
    if (Number(incoming.headers['content-length'] ?? 0) <= maxBodyBytes) outgoing.writeContinue();
    serve(incoming, outgoing);
  });
  // Without this Node would close the connection, with the answers that are due.
  server.on('connect', (_incoming, socket) => pipelines.of(socket).fail(NO_TUNNEL));
  return server;
}

const TIMEOUT = rawReply(errorReply(408, 'TIMEOUT', 'Request Timeout'));
const HEADER_OVERFLOW = rawReply(errorReply(431, 'TOO_LARGE', 'Request Header Fields Too Large'));
const MALFORMED = rawReply(errorReply(400, 'MALFORMED', 'Bad Request'));
const NO_TUNNEL = rawReply(
  errorReply(405, 'UNSUPPORTED', 'this is no proxy', 'not_applied', { allow: METHODS.join(', ') }),
);
