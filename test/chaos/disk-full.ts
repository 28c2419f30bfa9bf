/**
 * Real nodes on file systems of 64 MiB that are filled to the brim: `npm run chaos:disk-full [-- --mib 64]`. Mounts
 * tmpfs, so it needs the right to do so; without it, it says so and does nothing.
 */
import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';
import { CordwoodError } from '../../protocol/errors.ts';
import type { Client } from '../../lib/client/client.ts';
import { TestCluster } from '../e2e/support/cluster.ts';
import { pause, until } from '../e2e/support/until.ts';
import { SmallDisks } from './small-disks.ts';

const { values } = parseArgs({ options: { mib: { type: 'string', default: '64' } } });
const IDS = [1, 2, 3];
const PAGE_BYTES = 4096;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** The error code of a push; null: it was taken. */
async function pushed(client: Client, stack: string, value: unknown): Promise<string | null> {
  try {
    await client.push(stack, value);
    return null;
  } catch (error) {
    if (!CordwoodError.is(error)) throw error;
    if (error.code === 'DISK_FULL') assert.equal(error.outcome, 'not_applied');
    return error.code;
  }
}

/** What HTTP says of a full disk. */
async function overHttp(cluster: TestCluster): Promise<void> {
  // Leadership may go to a node that has not noticed yet, and takes a few more.
  const response = await until('a refusal over HTTP', async () => {
    const leader = await cluster.leader();
    const answer = await fetch(`${leader.url}/sPush`, { method: 'POST', body: 'http,x' });
    return answer.status === 503 ? answer : null;
  });
  const body = (await response.json()) as { error: { code: string; outcome: string } };
  assert.deepEqual([body.error.code, body.error.outcome], ['DISK_FULL', 'not_applied']);
  assert.equal(response.headers.get('retry-after'), '1');
}

async function main(disks: SmallDisks, cluster: TestCluster): Promise<void> {
  const client = await cluster.client();
  await client.create('jobs');
  let count = 0;
  const push = async (pushes: number): Promise<void> => {
    for (let i = 0; i < pushes; i++) {
      const code = await pushed(client, 'jobs', `value ${count}`);
      assert.equal(code, null, `push ${count}`);
      count++;
    }
  };
  await push(500);

  say('the disk of the leader fills up: leadership goes to a node with room, service goes on');
  const first = await cluster.settled();
  disks.fill(first.id, 0);
  const second = await cluster.settled(first);
  await push(500);

  // A follower that is full takes no batches and falls behind; it counts for no quorum until it has room.
  disks.empty(first.id);
  await cluster.converged();

  say('all disks are full: writes are refused, reads are not, nobody dies');
  for (const id of IDS) disks.fill(id, PAGE_BYTES);
  await until('a refusal', async () => {
    const code = await pushed(client, 'jobs', `value ${count}`);
    if (code === null) count++;
    return code === 'DISK_FULL';
  });
  await overHttp(cluster);
  assert.equal(await client.size('jobs'), count);
  assert.equal(await client.top('jobs'), `value ${count - 1}`);

  say('an election and a kill -9 with full disks');
  await second.kill();
  const third = await cluster.settled(second);
  assert.equal(await client.size('jobs'), count);
  assert.equal(await pushed(client, 'jobs', 'x'), 'DISK_FULL');
  second.start();
  await cluster.settled();
  await third.kill();
  third.start();
  await cluster.settled();
  assert.equal(await client.size('jobs'), count);

  say('room again: service resumes by itself');
  for (const id of IDS) disks.empty(id);
  await until('a push', async () => (await pushed(client, 'jobs', `value ${count}`)) === null);
  count++;
  await push(500);
  await cluster.converged();

  say('filled by pushes alone, then emptied by pops: what is written is compacted away');
  let pushes = 0;
  const filler = 'x'.repeat(16_000);
  const end = Number(values.mib) * 300;
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      while (pushes < end) {
        pushes++;
        const code = await pushed(client, 'filler', filler);
        assert.equal(code, null, `${code ?? ''} after ${pushes} pushes`);
        await client.pop('filler');
      }
    }),
  );
  assert.equal(await client.size('jobs'), count);
  say(`${pushes * filler.length} bytes went through disks of ${values.mib} MiB; ${count} values are there`);

  say('a state too large for the disks is refused, and what is there stays');
  let large = 0;
  for (;;) {
    const code = await pushed(client, 'large', filler);
    if (code === 'DISK_FULL') break;
    assert.equal(code, null);
    large++;
    assert.ok(large * filler.length < Number(values.mib) << 20, 'more than there is room for');
  }
  say(`refused after ${large * filler.length} bytes`);
  assert.equal(await client.size('large'), large);
  for (const node of cluster.nodes) await node.kill();
  for (const node of cluster.nodes) node.start();
  await cluster.settled();
  assert.equal(await client.size('large'), large);
  assert.equal(await client.top('jobs'), `value ${count - 1}`);
  await pause(0);
}

let disks: SmallDisks;
try {
  disks = new SmallDisks(IDS.length, Number(values.mib));
} catch (error) {
  say(`mounting is not permitted here: ${(error as Error).message.trim()}`);
  process.exit(0);
}
const cluster = await TestCluster.open({
  nodes: IDS.length,
  args: ['--log-level', 'info'],
  prepare: (dir) => {
    disks.link(dir);
  },
});
try {
  await main(disks, cluster);
  say('passed');
} catch (error) {
  process.exitCode = 1;
  say(`${(error as Error).stack ?? ''}\n${cluster.logs()}`);
} finally {
  await cluster.close();
  disks.close();
}
