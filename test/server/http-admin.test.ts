import t from 'tap';
import type { ChangeCallOptions, ClusterAdmin } from '../../lib/client/index.ts';
import { adminRoutes } from '../../lib/server/http-admin.ts';
import type { Request } from '../../lib/server/http-request.ts';

interface Asked {
  readonly what: string;
  readonly with: unknown;
  readonly options: ChangeCallOptions | undefined;
}

const asked: Asked[] = [];
const note =
  (what: string, answer: unknown) =>
  (given: unknown, options?: ChangeCallOptions): Promise<unknown> => {
    asked.push({ what, with: given, options });
    return Promise.resolve(answer);
  };
const result = { done: true };
const admin = {
  members: note('members', { members: [] }),
  explain: note('explain', { healthy: true }),
  add: note('add', result),
  promote: note('promote', result),
  remove: note('remove', result),
  set: note('set', result),
  transfer: note('transfer', 3),
} as unknown as ClusterAdmin;
const routes = new Map(adminRoutes(admin).map((route) => [`${route.method} ${route.path}`, route]));

async function ask(
  route: string,
  body: string,
  headers: object = { 'content-type': 'application/json' },
): Promise<unknown> {
  const request = { incoming: { headers }, body: Buffer.from(body), call: { timeoutMs: 1234 } };
  const reply = await routes.get(route)!.handle(request as unknown as Request);
  return JSON.parse(String(reply.body));
}

t.test('each request reaches the cluster with what it says', async (t) => {
  t.same(await ask('GET /v1/members', ''), { members: [] });
  t.same(await ask('GET /v1/explain', ''), { healthy: true });
  t.same(
    await ask('POST /v1/admin/add', '{"id":4,"address":"h:1","dryRun":true,"expectedConfigIndex":7}'),
    result,
  );
  t.match(asked.at(-1), {
    what: 'add',
    with: { id: 4, address: 'h:1', learner: false },
    options: { dryRun: true, force: false, expectedConfigIndex: 7, timeoutMs: 50_000 },
  });
  const timed = { 'content-type': 'application/json; charset=utf-8', 'x-timeout-ms': '1234' };
  await ask(
    'POST /v1/admin/set',
    '{"voters":[1,4],"members":[{"id":4,"peerAddress":"h:1"}],"force":true}',
    timed,
  );
  t.match(asked.at(-1), {
    what: 'set',
    with: { voters: [1, 4], members: [{ id: 4, peerAddress: 'h:1' }] },
    options: { force: true, timeoutMs: 1234 },
  });
  t.same(await ask('POST /v1/admin/transfer', ''), { leader: 3 });
  t.equal(asked.at(-1)!.with, undefined);
});

t.test('what makes no sense is refused before the cluster hears of it, and the error names it', async (t) => {
  const before = asked.length;
  for (const [route, body, message] of [
    ['add', '{"id":"4","address":"h:1"}', '"id" must be a whole number from 0'],
    ['add', '{"id":4}', '"address" must be a string'],
    ['add', '{"id":4,"address":"h:1","learner":"yes"}', '"learner" must be true or false'],
    ['promote', '{}', '"id" must be a whole number from 0'],
    ['set', '{"voters":"1,2"}', '"voters" must be a list'],
    ['set', '{"voters":[1,"2"]}', '"voters"[1] must be a whole number from 0'],
    ['set', '{"voters":[1],"members":[null]}', '"members"[0].id must be a whole number from 0'],
    ['set', '{"voters":[1],"members":[{"id":1}]}', '"members"[0].peerAddress must be a string'],
    ['transfer', '{"target":"2"}', '"target" must be a whole number from 0'],
    ['remove', '{"id":"5"}', '"id" must be a whole number from 0'],
    ['remove', '{"id":5,"expectedConfigIndex":-1}', '"expectedConfigIndex" must be a whole number from 0'],
    ['add', '{"id":4,"address":"h\\ud800:1"}', '"address" has half a surrogate pair'],
    ['remove', '[1]', 'the body is not a JSON object'],
    ['remove', '{', 'the body is not JSON'],
  ] as const) {
    await t.rejects(ask(`POST /v1/admin/${route}`, body), { code: 'MALFORMED', message }, body);
  }
  // The one type that a page of another site cannot send without a preflight.
  await t.rejects(ask('POST /v1/admin/remove', '{"id":1}', { 'content-type': 'text/plain' }), {
    code: 'MALFORMED',
  });
  t.equal(asked.length, before);
});

t.test('a field that would go unheeded is refused: nothing is done that was only to be shown', async (t) => {
  const before = asked.length;
  for (const [route, body, message] of [
    [
      'remove',
      '{"id":5,"dryrun":true}',
      '"dryrun" is not a field of this request; it takes "id", "dryRun", "force", "expectedConfigIndex"',
    ],
    ['remove', '{"id":5,"dryRun":"true"}', '"dryRun" must be true or false'],
    ['remove', '{"id":5,"force":1}', '"force" must be true or false'],
    ['transfer', '{"dryRun":true}', '"dryRun" is not a field of this request; it takes "target"'],
  ] as const) {
    await t.rejects(ask(`POST /v1/admin/${route}`, body), { code: 'MALFORMED', message }, body);
  }
  t.equal(asked.length, before);
});
