import { CordwoodError } from '../../protocol/errors.ts';
import { encodeValue } from '../../protocol/msgpack.ts';
import { integerOf, JsonFields } from './http-json.ts';
import { jsonReply, JSON_TYPE, lineReply } from './http-reply.ts';
import type { Reply } from './http-reply.ts';
import { notFound, takenReply, textValue } from './http-routes.ts';
import type { Route } from './http-routes.ts';
import { nameOfSegment } from './http-request.ts';
import type { Request } from './http-request.ts';
import type { StackCalls } from './stack-calls.ts';
import { encodeJson } from './encode-json.ts';
import { jsonOf } from './value-text.ts';

const MAX_LIST = 1_000;

/**
 * Stacks as resources, for names with any characters and for JSON both ways:
 *
 * ```
 * GET    /v1/stacks?prefix=&after=&limit=   {"stacks":[{"name","size"}],"next":name|null}
 * PUT    /v1/stacks/{name}                  201, 200   {"name","created"}
 * GET    /v1/stacks/{name}                  {"name","size"}
 * DELETE /v1/stacks/{name}                  {"name","dropped":true}
 * POST   /v1/stacks/{name}/push             {"value":…} or {"values":[…]} → {"size"}
 * POST   /v1/stacks/{name}/pop              nothing → {"value"}, 204; {"count":n} → {"values":[…]}
 * GET    /v1/stacks/{name}/top              {"value"}, 204
 * ```
 * A push with content type `text/plain` or `application/octet-stream` takes the whole body as one value.
 */
export function stackRoutes(stacks: StackCalls): Route[] {
  const name = (request: Request): string => nameOfSegment(request.segments[2]);
  return [
    { method: 'GET', path: '/v1/stacks', handle: (request) => list(stacks, request) },
    {
      method: 'PUT',
      path: '/v1/stacks/:name',
      handle: async (request) => {
        const created = await stacks.create(name(request), request.call);
        const json = { name: name(request), created };
        return lineReply(created ? 201 : 200, request.form('json'), name(request), json);
      },
    },
    {
      method: 'GET',
      path: '/v1/stacks/:name',
      handle: async (request) => {
        const size = await stacks.size(name(request), request.call);
        if (size === null) return notFound(name(request));
        return lineReply(200, request.form('json'), size, { name: name(request), size });
      },
    },
    {
      method: 'DELETE',
      path: '/v1/stacks/:name',
      handle: async (request) => {
        const dropped = await stacks.drop(name(request), request.call);
        if (!dropped) return notFound(name(request));
        return lineReply(200, request.form('json'), name(request), { name: name(request), dropped });
      },
    },
    {
      method: 'POST',
      path: '/v1/stacks/:name/push',
      handle: async (request) => {
        const size = await push(stacks, name(request), request);
        return lineReply(200, request.form('json'), size, { size });
      },
    },
    {
      method: 'POST',
      path: '/v1/stacks/:name/pop',
      handle: async (request) => {
        const count =
          request.body.length === 0 ? undefined : new JsonFields(request.body, ['count']).get('count');
        if (count === undefined) {
          return takenReply(request, name(request), await stacks.pop(name(request), request.call), 'json');
        }
        const most = integerOf(count, '"count"');
        const values = await stacks.popMany(name(request), most, request.call);
        if (values === 'notFound') return notFound(name(request));
        return { status: 200, type: JSON_TYPE, body: `{"values":${jsonOf(values)}}\n` };
      },
    },
    {
      method: 'GET',
      path: '/v1/stacks/:name/top',
      handle: async (request) =>
        takenReply(request, name(request), await stacks.top(name(request), request.call), 'json'),
    },
  ];
}

function push(stacks: StackCalls, name: string, request: Request): Promise<number> {
  const type = (request.incoming.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();
  if (type === 'application/octet-stream') return stacks.push(name, encodeValue(request.body), request.call);
  if (type === 'text/plain') return stacks.push(name, textValue(request.body), request.call);
  const fields = new JsonFields(request.body, ['value', 'values']);
  const one = fields.has('value');
  if (one === fields.has('values')) {
    const problem = one ? 'has both "value" and "values"' : 'needs "value" or a list of "values"';
    throw new CordwoodError('MALFORMED', `the body ${problem}`);
  }
  if (one) return stacks.push(name, jsonValue(fields.get('value')), request.call);
  return stacks.pushMany(name, fields.list('values').map(jsonValue), request.call);
}

async function list(stacks: StackCalls, request: Request): Promise<Reply> {
  const { query } = request;
  const limit = Number(query.get('limit') ?? 100);
  if (!Number.isInteger(limit) || limit < 1)
    throw new CordwoodError('MALFORMED', 'limit must be a whole number from 1');
  const wanted = Math.min(limit, MAX_LIST);
  const found = await stacks.list(query.get('prefix') ?? '', query.get('after') ?? '', wanted, request.call);
  if (request.form('json') === 'text') {
    return {
      status: 200,
      type: 'text/plain; charset=utf-8',
      body: found.map(({ name }) => `${name}\n`).join(''),
    };
  }
  const next = found.length === wanted ? found.at(-1)!.name : null;
  return jsonReply(200, { stacks: found, next });
}

function jsonValue(value: unknown): Uint8Array {
  try {
    return encodeJson(value);
  } catch (error) {
    throw new CordwoodError('MALFORMED', `not a value that can be stored: ${(error as Error).message}`);
  }
}
