import t from 'tap';
import { Client } from '../../lib/client/index.ts';
import { startServer } from '../../lib/server/index.ts';
import { MemoryCluster } from '../node/support/memory-cluster.ts';
import { until } from '../e2e/support/until.ts';
import { FakeNode } from './support/fake-node.ts';

/** Samples by name and labels; throws at a line that is none. */
function parse(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  const types = new Map<string, string>();
  for (const line of text.split('\n')) {
    const type = /^# TYPE (\S+) (counter|gauge|histogram|summary)$/.exec(line);
    if (type !== null) types.set(type[1]!, type[2]!);
    if (line === '' || line.startsWith('#')) continue;
    const sample = /^([a-z_:][a-z0-9_:]*)(\{(?:[a-z_]+="[^"]*",?)*\})? (\S+)( \d+)?$/.exec(line);
    if (sample === null) throw new Error(`no sample: ${line}`);
    const name = sample[1]!;
    if (!types.has(name) && !types.has(name.replace(/_(bucket|sum|count)$/, '')))
      throw new Error(`without a type: ${line}`);
    const key = `${name}${sample[2] ?? ''}`;
    if (samples.has(key)) throw new Error(`twice: ${key}`);
    samples.set(key, Number(sample[3]));
  }
  return samples;
}

t.test('what a node and its front door have done, as Prometheus reads it', async (t) => {
  // Alone, it leads whatever the machine is busy with: what it is asked is answered once, and can be counted.
  const cluster = await MemoryCluster.start(t, 1);
  const leader = await cluster.leader();
  const server = await startServer({ node: leader, listen: { port: 0 } });
  t.teardown(() => server.close());
  const url = `http://${server.address}`;
  const scrape = async (): Promise<Map<string, number>> => {
    const answer = await fetch(`${url}/metrics`);
    t.equal(answer.status, 200);
    t.match(answer.headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
    return parse(await answer.text());
  };
  // It leads before the entry that opens its term is on disk.
  await until('a first commit', () => leader.status().commitIndex > 0);
  const before = await scrape();
  t.equal(before.get('cordwood_role{role="leader"}'), 1);
  t.equal(before.get('cordwood_role{role="follower"}'), 0);
  t.equal(before.get('cordwood_leader_id'), leader.id);
  t.equal(before.get('cordwood_machine_stacks'), 0);
  t.ok(before.get('cordwood_index{at="commit"}')! >= 1);

  const client = await Client.connect({ addresses: [server.address] });
  t.teardown(() => client.close());
  for (let i = 0; i < 10; i++) await client.push('a', i);
  await client.pop('a');
  await client.top('a');
  t.equal((await fetch(`${url}/sPop`, { method: 'POST', body: 'nothing' })).status, 404);
  t.equal((await fetch(`${url}/sPop/what/ever`, { method: 'PATCH' })).status, 404);
  leader.snapshot();
  await until('a snapshot', () => leader.status().snapshotIndex > 0);

  const after = await scrape();
  t.equal(after.get('cordwood_machine_push_total'), 10);
  t.equal(after.get('cordwood_machine_pop_total'), 2);
  t.equal(after.get('cordwood_machine_stacks'), 1);
  t.equal(after.get('cordwood_requests_total{kind="command"}'), 11);
  t.equal(after.get('cordwood_requests_total{kind="query"}'), 1);
  t.equal(after.get('cordwood_answers_total{status="ok"}'), 13, 'the session that was opened too');
  t.equal(after.get('cordwood_http_requests_total{method="POST",route="/sPop",status="404"}'), 1);
  t.equal(after.get('cordwood_http_requests_total{method="other",route="none",status="404"}'), 1);
  t.equal(after.get('cordwood_http_requests_total{method="GET",route="/metrics",status="200"}'), 1);
  t.equal(after.get('cordwood_connections{protocol="binary"}'), 1);
  t.equal(after.get('cordwood_snapshots_total{outcome="taken"}'), 1);
  t.ok(after.get('process_resident_memory_bytes')! > 1e6);
  for (const name of ['cordwood_sync_seconds', 'cordwood_commit_seconds']) {
    const buckets = [...after].filter(([key]) => key.startsWith(`${name}_bucket`)).map(([, value]) => value);
    t.same(
      buckets,
      buckets.toSorted((a, b) => a - b),
      'buckets hold all below them',
    );
    t.equal(buckets.at(-1), after.get(`${name}_count`));
    t.equal(after.get(`${name}_bucket{le="+Inf"}`), after.get(`${name}_count`));
    t.ok(after.get(`${name}_count`)! > before.get(`${name}_count`)!);
  }
  for (const [name, value] of before) {
    if (/_total\b|_bucket|_count\b/.test(name) && !/^(nodejs|process)/.test(name))
      t.ok(after.get(name)! >= value, `${name} does not go back`);
  }
});

t.test('a stand-in that counts nothing', async (t) => {
  const server = await startServer({ node: new FakeNode(), listen: { port: 0 } });
  t.teardown(() => server.close());
  t.equal((await fetch(`http://${server.address}/metrics`)).status, 400);
  t.equal((await fetch(`http://${server.address}/v1/admin/backup`)).status, 400);
});
