import t from 'tap';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { Lane } from '../../protocol/constants.ts';
import { encodeMessage } from '../../protocol/peer-codec.ts';
import { encodeSnapshotBegin, encodeSnapshotChunk } from '../../protocol/peer-transfer.ts';
import type { RaftNode } from '../../lib/node/node.ts';
import { until } from '../e2e/support/until.ts';
import { MemoryCluster } from './support/memory-cluster.ts';

/** Frames of a second leader in the term of the first. */
const frames: Record<string, (out: ByteWriter, leader: RaftNode) => void> = {
  'a message': (out, leader) => {
    const { term } = leader.status();
    encodeMessage({ kind: 'heartbeat', term, commit: 0, readSeq: 0, sentAtMs: 0 }, out);
  },
  'the beginning of a snapshot': (out, leader) => {
    const { term: leaderTerm, config } = leader.status();
    const meta = { index: 99, term: leaderTerm, config, configIndex: 0 };
    encodeSnapshotBegin(out, { leaderTerm, meta, sizeBytes: 1, digest: '0'.repeat(64) });
  },
  'a piece of a snapshot': (out, leader) => {
    const { term } = leader.status();
    encodeSnapshotChunk(out, { leaderTerm: term, index: 99, term, offset: 0 }, Buffer.of(1));
  },
};

for (const [name, encode] of Object.entries(frames)) {
  t.test(`${name} that contradicts what is known ends the node in order, and not the process`, async (t) => {
    const cluster = await MemoryCluster.start(t, 3);
    await cluster.push(0, 3);
    const leader = await cluster.leader();
    const [fooled, liar] = [...cluster.nodes.values()].filter((node) => node !== leader);
    await until('a follower that knows its leader', () => fooled!.leader?.id === leader.id);

    const out = new ByteWriter(256);
    encode(out, leader);
    const bytes = out.take();
    cluster.inboxes.get(fooled!.id)!.onFrame(liar!.id, Lane.control, bytes, 0, bytes.length);

    await fooled!.closed;
    t.match(fooled!.failure, { code: 'TWO_LEADERS_IN_TERM' });
    t.match(cluster.errors, [new RegExp(`^${fooled!.id}: the node stops`)], 'said once');
    await cluster.push(3, 6);
    t.equal(leader.failure, null);
    t.equal(liar!.failure, null);
  });
}
