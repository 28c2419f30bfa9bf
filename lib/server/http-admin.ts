import { CordwoodError } from '../../protocol/errors.ts';
import type { ChangeCallOptions, ClusterAdmin } from '../client/index.ts';
import type { Member } from '../core/types.ts';
import { integerOf, JsonFields, textOf } from './http-json.ts';
import { jsonReply } from './http-reply.ts';
import type { Request } from './http-request.ts';
import type { Route } from './http-routes.ts';

/** How long a change is tried if the request names no time: a new node may have much to catch up with. */
const CHANGE_TIMEOUT_MS = 50_000;

/**
 * The cluster itself, in JSON both ways, on any node:
 *
 * ```
 * GET  /v1/members               the configuration in force
 * GET  /v1/explain               what is wrong, and why
 * POST /v1/admin/add             {"id","address","learner"?}
 * POST /v1/admin/promote         {"id"}
 * POST /v1/admin/remove          {"id"}
 * POST /v1/admin/set             {"voters","learners"?,"members"?:[{"id","peerAddress"}]}
 * POST /v1/admin/transfer        {"target"?}
 * ```
 * The first four also take `"dryRun"`, `"force"` and `"expectedConfigIndex"`. All must come as `application/json`, which
 * no page of another site can send without asking first.
 */
export function adminRoutes(admin: ClusterAdmin): Route[] {
  const post = (
    path: string,
    known: readonly string[],
    run: (fields: JsonFields, request: Request) => Promise<object>,
  ): Route => ({
    method: 'POST',
    path: `/v1/admin/${path}`,
    handle: async (request) => jsonReply(200, await run(fieldsOf(request, known), request)),
  });
  const change = (
    path: string,
    known: readonly string[],
    run: (fields: JsonFields, options: ChangeCallOptions) => Promise<object>,
  ): Route =>
    post(path, [...known, 'dryRun', 'force', 'expectedConfigIndex'], (fields, request) =>
      run(fields, optionsOf(request, fields)),
    );
  return [
    {
      method: 'GET',
      path: '/v1/members',
      handle: async ({ call }) => jsonReply(200, await admin.members(call)),
    },
    {
      method: 'GET',
      path: '/v1/explain',
      handle: async ({ call }) => jsonReply(200, await admin.explain(call)),
    },
    change('add', ['id', 'address', 'learner'], (fields, options) => {
      const learner = fields.flag('learner');
      return admin.add({ id: fields.integer('id'), address: fields.text('address'), learner }, options);
    }),
    change('promote', ['id'], (fields, options) => admin.promote(fields.integer('id'), options)),
    change('remove', ['id'], (fields, options) => admin.remove(fields.integer('id'), options)),
    change('set', ['voters', 'learners', 'members'], (fields, options) => {
      const target = {
        voters: fields.integers('voters'),
        ...(fields.has('learners') ? { learners: fields.integers('learners') } : {}),
        ...(fields.has('members') ? { members: membersOf(fields) } : {}),
      };
      return admin.set(target, options);
    }),
    post('transfer', ['target'], async (fields, request) => {
      const target = fields.has('target') ? fields.integer('target') : undefined;
      return { leader: await admin.transfer(target, { timeoutMs: timeoutOf(request) }) };
    }),
  ];
}

/** No body at all is a request without fields. */
function fieldsOf({ incoming, body }: Request, known: readonly string[]): JsonFields {
  const type = (incoming.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
  if (type !== 'application/json') {
    throw new CordwoodError('MALFORMED', 'admin requests come as application/json');
  }
  return new JsonFields(body.length === 0 ? Buffer.from('{}') : body, known);
}

function optionsOf(request: Request, fields: JsonFields): ChangeCallOptions {
  return {
    timeoutMs: timeoutOf(request),
    dryRun: fields.flag('dryRun'),
    force: fields.flag('force'),
    ...(fields.has('expectedConfigIndex')
      ? { expectedConfigIndex: fields.integer('expectedConfigIndex') }
      : {}),
  };
}

function timeoutOf({ incoming, call }: Request): number {
  const named =
    incoming.headers['x-timeout-ms'] !== undefined || incoming.headers['request-timeout'] !== undefined;
  return named ? call.timeoutMs : CHANGE_TIMEOUT_MS;
}

function membersOf(fields: JsonFields): Member[] {
  return fields.list('members').map((member, i) => {
    const { id, peerAddress } = (member ?? {}) as Record<string, unknown>;
    const what = `"members"[${i}]`;
    return { id: integerOf(id, `${what}.id`), peerAddress: textOf(peerAddress, `${what}.peerAddress`) };
  });
}
