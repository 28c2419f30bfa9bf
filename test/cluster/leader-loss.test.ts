// The leader dies, freezes, or leaves: who had a call under way, and what becomes of it.
import t from 'tap';
import { TestCluster } from '../e2e/support/cluster.ts';
import { http } from '../e2e/support/http-stacks.ts';

t.test('three nodes', async (t) => {
  const cluster = await TestCluster.start(t);
  const client = await cluster.client({ timeoutMs: 30_000 });

  await t.test('kill -9 of the leader in the middle of a thousand pipelined pushes', async (t) => {
    const leader = await cluster.settled();
    const { term } = (await leader.status())!;
    const sizes: number[] = [];
    const pushes = Array.from({ length: 1000 }, (_, i) =>
      client.push('pipelined', i).then((size) => {
        if (sizes.push(size) === 100) void leader.kill();
      }),
    );
    await Promise.all(pushes);
    t.equal(await client.size('pipelined'), 1000, 'each ran once');
    t.equal(new Set(sizes).size, 1000, 'each was told a size of its own');
    leader.start();
    const next = await cluster.settled();
    t.ok((await next.status())!.term > term, 'there was an election');
  });

  await t.test('a frozen leader is replaced, and does not lead when it wakes', async (t) => {
    const leader = await cluster.settled();
    await client.push('frozen', 'before');
    leader.freeze();
    // Nothing tells that it is frozen but its silence: the client looks for another node by itself.
    t.equal(await client.push('frozen', 'meanwhile'), 2);
    const next = await cluster.leader();
    t.not(next.id, leader.id);
    leader.thaw();
    await cluster.settled();
    const old = await http(`${leader.url}/sTop`, 'frozen');
    t.equal(old.body.toString(), 'meanwhile\n', 'a read at the old leader is not stale');
    t.equal(await client.size('frozen'), 2);
  });

  await t.test('reads at a leader that wakes up from a freeze are never stale', async (t) => {
    const leader = await cluster.settled();
    const direct = await cluster.client({ addresses: [leader.address], preferLeader: false });
    await direct.push('stale', 'old');
    leader.freeze();
    // Waiting in its socket for the moment it wakes, when it still believes that it leads.
    const read = direct.top('stale', { timeoutMs: 30_000 });
    const answers = direct.size('stale', { timeoutMs: 30_000 });
    await client.push('stale', 'new');
    const later = direct.top('stale', { timeoutMs: 30_000 });
    t.equal(await client.top('stale'), 'new');
    leader.thaw();
    // These began before the push ended: old or new. What began behind it must be new, though it waited with them.
    t.match(String(await read), /^(old|new)$/);
    t.ok([1, 2].includes(await answers));
    t.equal(await later, 'new');
    t.equal(await direct.top('stale'), 'new');
    await cluster.settled();
  });

  await t.test('an orderly stop hands leadership over, and nothing is refused for long', async (t) => {
    const leader = await cluster.settled();
    const pushes = Array.from({ length: 300 }, (_, i) => client.push('handed over', i));
    const exit = await leader.signal('SIGTERM');
    t.strictSame(exit, { code: 0, signal: null });
    await Promise.all(pushes);
    t.equal(await client.size('handed over'), 300);
    leader.start();
    await cluster.settled();
  });

  await t.test('Idempotency-Key: sent again to another node after the leader died', async (t) => {
    const headers = { 'idempotency-key': 'the one and only' };
    const leader = await cluster.settled();
    const first = http(`${leader.url}/sPush`, 'keyed,once', { headers });
    const dead = leader.kill();
    const before = await first;
    await dead;
    const others = cluster.nodes.filter((node) => node !== leader);
    for (let i = 0; i < 6; i++) {
      const again = await http(`${others[i % 2]!.url}/sPush`, 'keyed,once', { headers });
      t.equal(again.status, 200, again.body.toString());
      t.equal(again.body.toString(), '1\n', 'the answer of the one run');
    }
    t.ok(before.status === 0 || before.status === 200 || before.status >= 500, `at first: ${before.status}`);
    t.equal(await client.size('keyed'), 1);
    const other = await http(`${others[0]!.url}/sPush`, 'keyed,another', { headers });
    t.equal(other.status, 422, 'the key belongs to that command');
    leader.start();
    await cluster.settled();
    const restarted = await http(`${leader.url}/sPush`, 'keyed,once', { headers });
    t.equal(restarted.body.toString(), '1\n');
    t.equal(await client.size('keyed'), 1);
  });

  await t.test('a frozen follower under load holds nobody up and catches up', async (t) => {
    const leader = await cluster.settled();
    const follower = cluster.nodes.find((node) => node !== leader)!;
    const before = await leader.rssBytes();
    follower.freeze();
    const value = 'x'.repeat(10_000);
    for (let round = 0; round < 30; round++) {
      await Promise.all(Array.from({ length: 100 }, () => client.push('load', value)));
      await client.popMany('load', 90);
    }
    const after = await leader.rssBytes();
    // 30 MB went through; what waits for a follower that takes nothing is bounded.
    t.ok(after - before < 250 << 20, `the leader has grown by ${(after - before) >> 20} MiB`);
    follower.thaw();
    const statuses = await cluster.converged();
    t.equal(new Set(statuses.map((status) => status.commitIndex)).size, 1);
    const top = await http(`${follower.url}/sSize`, 'load');
    t.equal(top.body.toString(), '300\n');
  });
});
