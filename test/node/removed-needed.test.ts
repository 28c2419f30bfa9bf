// The counterpart of test/golden/removed-needed.txt where nothing crashes, but the network fails for a while.
import t from 'tap';
import { Status, StackOp } from '../../protocol/constants.ts';
import { pause, until } from '../e2e/support/until.ts';
import { Caller } from './support/caller.ts';
import { MemoryCluster, replacing } from './support/memory-cluster.ts';

const ELECTION_TIMEOUT_MS = 500;

t.test('a node whose removal is not committed is still there for those who need its vote', async (t) => {
  let cut = false;
  let healed = false;
  let removed = 0;
  const cluster = await MemoryCluster.start(t, 2, 64 << 20, ELECTION_TIMEOUT_MS, (id, transport) =>
    replacing(transport, {
      send: (peer, lane, parts) => {
        // The entry that ends the joint phase is on the disk of the leader alone.
        const config = cluster.nodes.get(id)?.core.config;
        cut ||= id === removed && config!.outgoing.length === 0 && config!.voters.length === 1;
        return (cut && !healed) || transport.send(peer, lane, parts);
      },
    }),
  );
  const leader = await cluster.leader();
  const other = cluster.nodes.get(3 - leader.id)!;
  await cluster.push(0, 1);
  removed = leader.id;

  const change = leader.reconfigure({ voters: [other.id] });
  await until('the network to fail', () => cut);
  t.equal(other.core.config.outgoing.length, 2, 'the other needs both votes');
  // Longer than a removed node is talked to.
  await pause(4 * ELECTION_TIMEOUT_MS);
  t.equal(leader.status().quarantine, null);
  healed = true;

  await until('the other to lead', () => other.status().role === 'leader' && other.core.termCommitted);
  t.match(await change, { done: true, config: { voters: [other.id], retired: [removed] } });
  t.match(await new Caller(other).command(StackOp.push, 's', 1), { status: Status.ok });
  await until('the removed one to know', () => leader.status().quarantine !== null);
});
