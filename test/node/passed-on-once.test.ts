import t from 'tap';
import { PeerKind, StackOp, Status } from '../../protocol/constants.ts';
import { encodeCommand } from '../../protocol/client-codec.ts';
import { encodeValue } from '../../protocol/msgpack.ts';
import { peerFrameKind } from '../../protocol/peer-frame.ts';
import type { Transport } from '../../lib/transport/transport.ts';
import { until } from '../e2e/support/until.ts';
import { Caller } from './support/caller.ts';
import { MemoryCluster, replacing } from './support/memory-cluster.ts';

const ELECTION_TIMEOUT_MS = 3000;
const POPS = 4;
/** Each answer fills a frame between nodes, so they arrive one after the other. */
const VALUE_BYTES = 1_500_000;

/** Network between pairs of nodes, `"from>to"`, that loses everything or keeps it for later. */
class Ways {
  readonly cut = new Set<string>();
  readonly kept = new Map<string, (() => void)[]>();

  through(id: number, transport: Transport): Transport {
    return replacing(transport, {
      send: (peer, lane, parts) => {
        const way = `${id}>${peer}`;
        if (this.cut.has(way)) return false;
        const kept = this.kept.get(way);
        if (kept === undefined) return transport.send(peer, lane, parts);
        const frame = Buffer.concat(parts);
        // Whoever votes for another forgets its leader. Here the old leader hears of the next one only from itself.
        if (peerFrameKind(frame, 0) !== PeerKind.voteRequest)
          kept.push(() => transport.send(peer, lane, [frame]));
        return true;
      },
    });
  }
}

// Passed on to the next leader, it got its answers over several turns, and each turn told the first node that no more
// followed: all pops but the first ran and were never answered.
t.test('a forwarded run that finds its leader handing over is answered whole', async (t) => {
  const ways = new Ways();
  const cluster = await MemoryCluster.start(t, 5, undefined, ELECTION_TIMEOUT_MS, (id, transport) =>
    ways.through(id, transport),
  );
  const leader = await cluster.leader();
  await until('everybody to know the leader', () =>
    [...cluster.nodes.values()].every((node) => node.leader?.id === leader.id),
  );
  for (let i = 0; i < POPS; i++) {
    const { status } = await new Caller(leader).command(StackOp.push, 's', 'x'.repeat(VALUE_BYTES));
    t.equal(status, Status.ok);
  }
  const [origin, next, ...others] = [...cluster.nodes.values()].filter((node) => node !== leader);
  // The first node hears of nobody but the old leader.
  for (const { id } of [next!, ...others]) ways.cut.add(`${origin!.id}>${id}`).add(`${id}>${origin!.id}`);
  const kept: (() => void)[] = [];
  ways.kept.set(`${next!.id}>${leader.id}`, kept);
  await until('the next leader to be up to date', () => leader.transferLeadership(next!.id) === next!.id);

  let arrived = false;
  cluster.onFrame = (to, bytes, start) => {
    if (to === leader.id && peerFrameKind(bytes, start) === PeerKind.forward) arrived = true;
  };
  const body = encodeValue([StackOp.pop, 's']);
  const caller = new Caller(origin!);
  const answers = caller.sendTogether(POPS, (out, id) => {
    encodeCommand(out, id, 0, 0, 0, body);
  });
  await until('the run to wait at the old leader', () => arrived);
  await until('the next leader to lead', () => next!.status().role === 'leader');
  ways.kept.delete(`${next!.id}>${leader.id}`);
  for (const send of kept) send();

  await until('all answers', () => caller.waiting === 0);
  const statuses = (await Promise.all(answers)).map(({ status }) => status);
  t.same(statuses, Array(POPS).fill(Status.noLeader));
  t.same(await new Caller(next!).query(StackOp.size, 's'), { status: Status.ok, value: POPS });
});
