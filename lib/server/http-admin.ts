import { CordwoodError } from '../../protocol/errors.ts';
import type { ChangeCallOptions, ClusterAdmin } from '../client/index.ts';
import type { Member } from '../core/types.ts';
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
 * Changes also take `"dryRun"`, `"force"` and `"expectedConfigIndex"`. They must come as `application/json`, which no
 * page of another site can send without asking first.
 */
export function adminRoutes(admin: ClusterAdmin): Route[] {
  const change = (
    path: string,
    run: (fields: Fields, options: ChangeCallOptions) => Promise<object>,
  ): Route => ({
    method: 'POST',
    path: `/v1/admin/${path}`,
    handle: async (request) => {
      const fields = fieldsOf(request);
      return jsonReply(200, await run(fields, optionsOf(request, fields)));
    },
  });
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
    change('add', (fields, options) => {
      const learner = fields['learner'] === true;
      return admin.add({ id: idOf(fields['id']), address: textOf(fields['address']), learner }, options);
    }),
    change('promote', (fields, options) => admin.promote(idOf(fields['id']), options)),
    change('remove', (fields, options) => admin.remove(idOf(fields['id']), options)),
    change('set', (fields, options) => {
      const { voters, learners, members } = fields;
      const target = {
        voters: idsOf(voters),
        ...(learners === undefined ? {} : { learners: idsOf(learners) }),
        ...(members === undefined ? {} : { members: membersOf(members) }),
      };
      return admin.set(target, options);
    }),
    change('transfer', async ({ target }, { timeoutMs }) => ({
      leader: await admin.transfer(target === undefined ? undefined : idOf(target), { timeoutMs }),
    })),
  ];
}

type Fields = Record<string, unknown>;

function fieldsOf({ incoming, body }: Request): Fields {
  const type = (incoming.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
  if (type !== 'application/json') {
    throw new CordwoodError('MALFORMED', 'admin requests come as application/json');
  }
  let value: unknown;
  try {
    value = body.length === 0 ? {} : JSON.parse(Buffer.from(body).toString('utf8'));
  } catch {
    throw new CordwoodError('MALFORMED', 'the body is no JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new CordwoodError('MALFORMED', 'the body is no JSON object');
  return value as Fields;
}

function optionsOf({ incoming, call }: Request, fields: Fields): ChangeCallOptions {
  const { expectedConfigIndex } = fields;
  const named =
    incoming.headers['x-timeout-ms'] !== undefined || incoming.headers['request-timeout'] !== undefined;
  return {
    timeoutMs: named ? call.timeoutMs : CHANGE_TIMEOUT_MS,
    dryRun: fields['dryRun'] === true,
    force: fields['force'] === true,
    ...(expectedConfigIndex === undefined ? {} : { expectedConfigIndex: idOf(expectedConfigIndex) }),
  };
}

function idOf(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new CordwoodError('MALFORMED', 'a number is missing or wrong');
}

function idsOf(value: unknown): number[] {
  if (!Array.isArray(value)) throw new CordwoodError('MALFORMED', 'a list of node ids is missing or wrong');
  return value.map(idOf);
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  throw new CordwoodError('MALFORMED', 'an address is missing or wrong');
}

function membersOf(value: unknown): Member[] {
  if (!Array.isArray(value)) throw new CordwoodError('MALFORMED', 'members is no list');
  return value.map((member: unknown) => {
    const { id, peerAddress } = (member ?? {}) as Fields;
    return { id: idOf(id), peerAddress: textOf(peerAddress) };
  });
}
