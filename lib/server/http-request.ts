import type { IncomingMessage } from 'node:http';
import { isUtf8 } from 'node:buffer';
import { Limits } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import type { ServerLimits } from './limits.ts';
import { formOf } from './http-reply.ts';
import type { Form } from './http-reply.ts';
import type { CallOptions } from './stack-calls.ts';

/** An HTTP request as the routes see it: whole, within its limits. */
export interface Request {
  readonly incoming: IncomingMessage;
  readonly body: Uint8Array;
  /** Path segments behind the leading slash, still percent-encoded. */
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
  form(otherwise: Form): Form;
  /** Timeout and idempotency key, as the headers give them. */
  readonly call: CallOptions;
}

/** A body that is larger than allowed: what is left of it is not read. */
class BodyTooLarge extends CordwoodError {
  constructor(maxBytes: number) {
    super('TOO_LARGE', `the body is larger than ${maxBytes} bytes`);
  }
}

/** How long the body will be, as far as the headers tell: at most the limit. 0: there is none, or it is refused. */
export function announcedBytes(incoming: IncomingMessage, maxBodyBytes: number): number {
  const { 'content-length': length, 'transfer-encoding': coding } = incoming.headers;
  if (coding !== undefined) return maxBodyBytes;
  return Number(length ?? 0) > maxBodyBytes ? 0 : Number(length ?? 0);
}

/** Reads the request's body and headers. Throws `CordwoodError`: `TOO_LARGE`, `MALFORMED`, `CONNECTION_LOST`. */
export async function readRequest(
  incoming: IncomingMessage,
  maxBodyBytes: number,
  limits: ServerLimits,
): Promise<Request> {
  const call = callOptions(incoming, limits);
  const url = requestTarget(incoming);
  const mark = url.indexOf('?');
  const path = mark === -1 ? url : url.slice(0, mark);
  return {
    incoming,
    body: await readBody(incoming, maxBodyBytes),
    segments: path.slice(1).split('/'),
    query: new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1)),
    form: (otherwise) => formOf(incoming.headers.accept, otherwise),
    call,
  };
}

/** Path and query as they were sent: normalising would make stacks named `.` and `..` unreachable. */
export function requestTarget(incoming: IncomingMessage): string {
  const url = incoming.url ?? '/';
  if (url.startsWith('/')) return url;
  // Absolute form, as sent to proxies.
  const match = /^https?:\/\/[^/?#]*([^#]*)/i.exec(url);
  const target = match?.[1] ?? url;
  return target.startsWith('/') ? target : `/${target}`;
}

/** A stack's name out of bytes; what is no name is refused here, before it costs the cluster anything. */
export function nameOf(bytes: Uint8Array): string {
  if (bytes.length === 0) throw new CordwoodError('MALFORMED', 'the name of the stack is missing');
  if (bytes.length > Limits.maxStackNameBytes) {
    throw new CordwoodError(
      'MALFORMED',
      `the name of the stack is longer than ${Limits.maxStackNameBytes} bytes`,
    );
  }
  if (!isUtf8(bytes)) throw new CordwoodError('MALFORMED', 'the name of the stack is not UTF-8');
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}

/** A stack's name out of a path segment. */
export function nameOfSegment(segment: string | undefined): string {
  let name: string;
  try {
    name = decodeURIComponent(segment ?? '');
  } catch {
    throw new CordwoodError('MALFORMED', 'the name in the path is not percent-encoded UTF-8');
  }
  return nameOf(Buffer.from(name));
}

function readBody(incoming: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  // A body that says beforehand that it is too large is not read at all; one that does not is read up to the limit.
  if (Number(incoming.headers['content-length'] ?? 0) > maxBytes)
    return Promise.reject(new BodyTooLarge(maxBytes));
  // Its 'close' has been, and would be waited for in vain.
  if (incoming.destroyed) return Promise.reject(clientGone());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    incoming.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= maxBytes) chunks.push(chunk);
      else {
        incoming.removeAllListeners('data');
        incoming.pause();
        reject(new BodyTooLarge(maxBytes));
      }
    });
    incoming.once('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    const lost = (): void => reject(clientGone());
    incoming.once('error', lost);
    incoming.once('close', lost);
  });
}

function clientGone(): CordwoodError {
  return new CordwoodError('CONNECTION_LOST', 'the client went away');
}

function callOptions(incoming: IncomingMessage, limits: ServerLimits): CallOptions {
  const timeoutMs = timeoutOf(incoming, limits);
  const key = incoming.headers['idempotency-key'];
  if (key === undefined) return { timeoutMs };
  // Node hands headers over as Latin-1: these are the bytes that were sent.
  const bytes = Buffer.from(String(key), 'latin1');
  if (bytes.length === 0 || bytes.length > Limits.maxIdempotencyKeyBytes || !isUtf8(bytes)) {
    throw new CordwoodError(
      'MALFORMED',
      `Idempotency-Key must have 1 to ${Limits.maxIdempotencyKeyBytes} bytes of UTF-8`,
    );
  }
  return { timeoutMs, idempotencyKey: bytes.toString('utf8') };
}

/** How long the request may take. Throws `MALFORMED`. */
export function timeoutOf(incoming: IncomingMessage, limits: ServerLimits): number {
  const milliseconds = incoming.headers['x-timeout-ms'];
  const seconds = incoming.headers['request-timeout'];
  const given = milliseconds ?? seconds;
  if (given === undefined) return limits.commandTimeoutMs;
  const value = Number(given) * (milliseconds === undefined ? 1_000 : 1);
  if (typeof given !== 'string' || given.trim() === '' || !(value >= 1)) {
    throw new CordwoodError(
      'MALFORMED',
      'X-Timeout-Ms and Request-Timeout (seconds) must be positive numbers',
    );
  }
  return Math.min(Math.ceil(value), limits.maxCommandTimeoutMs);
}
