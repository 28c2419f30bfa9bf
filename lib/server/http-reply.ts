import { STATUS_CODES } from 'node:http';
import type { ServerResponse } from 'node:http';
import { CordwoodError } from '../../protocol/errors.ts';
import type { ErrorCode, Outcome } from '../../protocol/errors.ts';
import { jsonOf, scalarOf } from './value-text.ts';

/** The forms a reply comes in: one line of text, JSON, or a value's very bytes. */
export type Form = 'text' | 'json' | 'bytes';

export interface Reply {
  readonly status: number;
  /** Content type; absent exactly if there is no body. */
  readonly type?: string;
  readonly body?: string | Uint8Array;
  /** In place of `body`: bytes that are made while they leave. If they fail, the connection is cut off. */
  readonly stream?: ReplyStream;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ReplyStream extends AsyncIterable<Uint8Array> {
  /** Called if it is not taken to its end. */
  close(): void;
}

export const TEXT = 'text/plain; charset=utf-8';
export const JSON_TYPE = 'application/json';
export const BYTES = 'application/octet-stream';

const FORMS = new Map<string, Form>([
  ['application/json', 'json'],
  ['application/*', 'json'],
  [BYTES, 'bytes'],
  ['text/plain', 'text'],
  ['text/*', 'text'],
]);

/** The form an `Accept` header asks for: the known type with the highest weight, the first of equal ones. */
export function formOf(accept: string | undefined, otherwise: Form): Form {
  let best = otherwise;
  let bestWeight = 0;
  for (const range of (accept ?? '').split(',')) {
    const [type, ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const form = type === '*/*' ? otherwise : FORMS.get(type ?? '');
    const q = parameters.find((parameter) => parameter.startsWith('q='));
    const weight = q === undefined ? 1 : Number(q.slice(2));
    if (form === undefined || !(weight > bestWeight)) continue;
    best = form;
    bestWeight = weight;
  }
  return best;
}

/** One line of text, or the same thing as JSON. */
export function lineReply(status: number, form: Form, line: string | number, json: object): Reply {
  if (form === 'json') return jsonReply(status, json);
  return { status, type: TEXT, body: `${line}\n` };
}

export function jsonReply(status: number, json: object, headers?: Readonly<Record<string, string>>): Reply {
  const reply = { status, type: JSON_TYPE, body: `${JSON.stringify(json)}\n` };
  return headers === undefined ? reply : { ...reply, headers };
}

/**
 * A value of a stack. As text: strings as they are, anything else as JSON, with a newline behind it; a bin value has
 * no text, so it comes as its bytes and nothing else.
 */
export function valueReply(form: Form, value: Uint8Array): Reply {
  if (form === 'json') return { status: 200, type: JSON_TYPE, body: `{"value":${jsonOf(value)}}\n` };
  const { type, bytes } = scalarOf(value);
  if (type === 'bin') return { status: 200, type: BYTES, body: bytes };
  const content = type === 'str' ? bytes : Buffer.from(jsonOf(value));
  if (form === 'bytes') return { status: 200, type: BYTES, body: content };
  return { status: 200, type: TEXT, body: Buffer.concat([content, NEWLINE]) };
}

const NEWLINE = Buffer.from('\n');

/** Nothing there: the stack is empty. */
export const emptyReply: Reply = { status: 204 };

/** What every failure looks like, whatever form was asked for. */
export function errorReply(
  status: number,
  code: string,
  message: string,
  outcome: Outcome = 'not_applied',
  headers?: Readonly<Record<string, string>>,
): Reply {
  return jsonReply(status, { error: { code, message, outcome } }, headers);
}

const STATUS_OF_CODE: Partial<Record<ErrorCode, number>> = {
  MALFORMED: 400,
  BAD_COMMAND: 400,
  BAD_OPTION: 400,
  UNSUPPORTED: 400,
  UNAUTHORIZED: 403,
  NOT_FOUND: 404,
  LIMIT: 409,
  CHANGE_PENDING: 409,
  CONFIG_MISMATCH: 409,
  WOULD_LOSE_QUORUM: 409,
  ID_RETIRED: 409,
  NOT_EMPTY: 409,
  INCARNATION_CHANGED: 409,
  WRONG_CLUSTER: 409,
  WRONG_NODE: 409,
  UNREACHABLE: 502,
  TOO_LARGE: 413,
  KEY_REUSED: 422,
  BUSY: 429,
  SESSION_FULL: 429,
  OUTCOME_UNKNOWN: 504,
};

/** The reply for whatever a handler threw. Anything that is no `CordwoodError` is a fault of this program. */
export function failureReply(error: unknown): Reply {
  if (!CordwoodError.is(error)) return errorReply(500, 'INTERNAL', 'this node could not answer', 'unknown');
  const { code, message, outcome } = error;
  // Whatever else went wrong on the way to the cluster: try again, at this node or at another.
  const status = outcome === 'unknown' ? 504 : (STATUS_OF_CODE[code] ?? 503);
  return errorReply(status, code, message, outcome, status === 503 || status === 429 ? RETRY : undefined);
}

const RETRY = { 'retry-after': '1' };

/** Replies are data: no cache keeps them, no browser guesses at their type or runs anything in them. */
const FIXED_HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
};

/** A reply that closes its connection, for where no `ServerResponse` is. */
export function rawReply({ status, type = '', body = '', headers }: Reply): string {
  const length = String(Buffer.byteLength(body));
  const lines = { ...FIXED_HEADERS, ...headers, 'content-type': type, 'content-length': length };
  const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\n${head.join('')}\r\n${String(body)}`;
}

/** Who takes nothing of it is cut off by the `OutputBudget`. */
export function sendReply(outgoing: ServerResponse, reply: Reply): void {
  if (outgoing.headersSent || outgoing.destroyed) {
    reply.stream?.close();
    return;
  }
  const headers: Record<string, string | number> = { ...FIXED_HEADERS, ...reply.headers };
  if (reply.body !== undefined) {
    headers['content-type'] = reply.type!;
    headers['content-length'] =
      typeof reply.body === 'string' ? Buffer.byteLength(reply.body) : reply.body.length;
  }
  if (reply.stream !== undefined) {
    headers['content-type'] = reply.type!;
    outgoing.writeHead(reply.status, headers);
    void sendStream(outgoing, reply.stream);
    return;
  }
  outgoing.writeHead(reply.status, headers);
  outgoing.end(reply.body);
}

/** One piece after the other, as fast as they are taken. A reply that does not end well does not end at all. */
async function sendStream(outgoing: ServerResponse, stream: ReplyStream): Promise<void> {
  try {
    if (outgoing.req.method === 'HEAD') {
      outgoing.end();
      return;
    }
    for await (const piece of stream) {
      if (outgoing.destroyed) return;
      if (!outgoing.write(piece)) await drained(outgoing);
    }
    outgoing.end();
  } catch {
    outgoing.destroy();
  } finally {
    stream.close();
  }
}

/** Resolves when what was written has left, or nothing will: a stream holds memory for as long as it is not over. */
function drained(outgoing: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      outgoing.off('drain', done);
      outgoing.off('close', done);
      resolve();
    };
    outgoing.once('drain', done);
    outgoing.once('close', done);
  });
}
