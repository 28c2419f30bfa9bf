import { isUtf8 } from 'node:buffer';
import { CordwoodError } from '../../protocol/errors.ts';
import { encodeValue } from '../../protocol/msgpack.ts';
import { emptyReply, errorReply, lineReply, valueReply } from './http-reply.ts';
import type { Reply } from './http-reply.ts';
import { nameOf } from './http-request.ts';
import type { Request } from './http-request.ts';
import type { StackCalls, Taken } from './stack-calls.ts';

/** A method and a path, as Hono writes it, with what answers there. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  handle(request: Request): Reply | Promise<Reply>;
}

/** What any path may take. */
export const METHODS: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS'];

const COMMA = 0x2c;

/**
 * The commands of the original stack server, each a POST whose body is the stack's name (and, for a push, a comma
 * and the value: all that follows the first comma, as it is).
 *
 * | command   | replies |
 * |-----------|---------|
 * | `sCreate` | 201 name: made; 200 name: it was there, and stays as it is |
 * | `sId`     | 200 name; 404 |
 * | `sPush`   | 200 new size; makes the stack if there is none |
 * | `sPop`    | 200 value; 204 empty; 404 |
 * | `sTop`    | 200 value; 204 empty; 404 |
 * | `sSize`   | 200 size; 404 |
 */
export function commandRoutes(stacks: StackCalls): Route[] {
  const post = (path: string, handle: Route['handle']): Route => ({ method: 'POST', path, handle });
  return [
    post('/sCreate', async (request) => {
      const name = nameOf(request.body);
      const created = await stacks.create(name, request.call);
      return lineReply(created ? 201 : 200, request.form('text'), name, { name, created });
    }),
    post('/sId', async (request) => {
      const name = nameOf(request.body);
      const exists = await stacks.exists(name, request.call);
      return exists ? lineReply(200, request.form('text'), name, { exists: true }) : notFound(name);
    }),
    post('/sPush', async (request) => {
      const { body } = request;
      const comma = body.indexOf(COMMA);
      if (comma === -1) throw new CordwoodError('MALFORMED', 'sPush takes NAME,VALUE: there is no comma');
      const name = nameOf(body.subarray(0, comma));
      const size = await stacks.push(name, textValue(body.subarray(comma + 1)), request.call);
      return lineReply(200, request.form('text'), size, { size });
    }),
    post('/sPop', async (request) => {
      const name = nameOf(request.body);
      return takenReply(request, name, await stacks.pop(name, request.call));
    }),
    post('/sTop', async (request) => {
      const name = nameOf(request.body);
      return takenReply(request, name, await stacks.top(name, request.call));
    }),
    post('/sSize', async (request) => {
      const name = nameOf(request.body);
      const size = await stacks.size(name, request.call);
      return size === null ? notFound(name) : lineReply(200, request.form('text'), size, { size });
    }),
  ];
}

/** A value that came as raw bytes: text if it is text, bin otherwise. */
export function textValue(bytes: Uint8Array): Uint8Array {
  if (!isUtf8(bytes)) return encodeValue(bytes);
  return encodeValue(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'));
}

export function takenReply(
  request: Request,
  name: string,
  taken: Taken,
  otherwise: 'text' | 'json' = 'text',
): Reply {
  if (taken === 'notFound') return notFound(name);
  if (taken === 'empty') return emptyReply;
  return valueReply(request.form(otherwise), taken);
}

export function notFound(name: string): Reply {
  return errorReply(404, 'NOT_FOUND', `there is no stack ${JSON.stringify(name)}`);
}
