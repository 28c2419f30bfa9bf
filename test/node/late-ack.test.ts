import t, { type Test } from 'tap';
import type { RaftNode } from '../../lib/node/node.ts';
import type { Transport } from '../../lib/transport/transport.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { Lane } from '../../protocol/constants.ts';
import { encodeMessage } from '../../protocol/peer-codec.ts';
import { pause, until } from '../e2e/support/until.ts';
import { MemoryCluster, replacing } from './support/memory-cluster.ts';

/** No heartbeat falls into the test: turns come from what it does. */
const ELECTION_TIMEOUT_MS = 3_600_000;

/** A cluster at rest, and how often each node's transport was flushed: twice in each turn. */
async function atRest(
  t: Test,
): Promise<{ cluster: MemoryCluster; leader: RaftNode; flushes: Map<number, number> }> {
  const flushes = new Map<number, number>();
  const counting = (id: number, transport: Transport): Transport =>
    replacing(transport, {
      flush: () => {
        flushes.set(id, (flushes.get(id) ?? 0) + 1);
        transport.flush();
      },
    });
  const cluster = await MemoryCluster.start(t, 3, undefined, ELECTION_TIMEOUT_MS, counting);
  await cluster.push(0, 5);
  const leader = await cluster.leader();
  await until('a leader that waits for nobody', () => {
    const { lastIndex, appliedIndex, peers } = leader.status();
    return appliedIndex === lastIndex && peers.every(({ match }) => match === lastIndex);
  });
  let before = -1;
  await until('a leader at rest', async () => {
    await pause(20);
    const now = flushes.get(leader.id)!;
    const rests = now === before;
    before = now;
    return rests;
  });
  return { cluster, leader, flushes };
}

/** Node `from` tells the leader that it has everything up to `match`, or that it has not. */
function acknowledge(
  cluster: MemoryCluster,
  leader: RaftNode,
  from: number,
  match: number,
  rejected: boolean,
): void {
  const out = new ByteWriter();
  const { term } = leader.status();
  encodeMessage(
    { kind: 'appendAck', term, match, rejected, prevIndex: match, hintIndex: 0, hintTerm: 0 },
    out,
  );
  cluster.inboxes.get(leader.id)!.onFrame(from, Lane.data, out.buffer, 0, out.position);
}

const turns = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

t.test('an ack of what is committed and applied makes no turn', async (t) => {
  const { cluster, leader, flushes } = await atRest(t);
  const follower = [1, 2, 3].find((id) => id !== leader.id)!;
  const before = flushes.get(leader.id)!;
  acknowledge(cluster, leader, follower, leader.status().commitIndex, false);
  await turns();
  t.equal(flushes.get(leader.id), before);
});

t.test('a refusal makes one: it says that something is missing', async (t) => {
  const { cluster, leader, flushes } = await atRest(t);
  const follower = [1, 2, 3].find((id) => id !== leader.id)!;
  const before = flushes.get(leader.id)!;
  acknowledge(cluster, leader, follower, leader.status().commitIndex + 1, true);
  await turns();
  t.ok(flushes.get(leader.id)! > before);
});
