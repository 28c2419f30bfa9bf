import t from 'tap';
import { CHUNK_HEADER_BYTES, decodeSnapshotAck, type SnapshotAck } from '../../protocol/peer-transfer.ts';
import { SnapshotStatus } from '../../protocol/constants.ts';
import { DirectLogStore } from '../../lib/log/direct-log-store.ts';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { SnapshotReceiver } from '../../lib/node/snapshot-receiver.ts';
import type { Transport } from '../../lib/transport/transport.ts';
import { LEADER, META, settle } from './support/snapshot-rig.ts';

const CONTENT = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);

function openLog(disk: MemoryDisk = new MemoryDisk()): DirectLogStore {
  return new DirectLogStore({
    disk,
    path: 'node',
    events: { onDurable: () => undefined, onFailure: () => undefined },
    schedule: (_step, _bytes, run) => {
      setImmediate(run);
    },
    random: (bytes) => bytes.fill(1),
  });
}

/** The digest under which a leader announces `content`. */
async function digestOf(content: Uint8Array): Promise<string> {
  const writer = await openLog().snapshots.create(META);
  await writer.write(content);
  return (await writer.commit()).digest;
}

/** A follower's receiver; what it was sent has installed so many snapshots, and it says so and so. */
function receiving() {
  const acks: SnapshotAck[] = [];
  const transport = {
    send: (_to: number, _lane: number, [frame]: readonly Uint8Array[]) =>
      acks.push(decodeSnapshotAck(frame!, 0, frame!.length)) > 0,
    flush: () => undefined,
  } as unknown as Transport;
  let installed = 0;
  const received = (): Promise<boolean> => Promise.resolve(++installed > 0);
  const disk = new MemoryDisk();
  const receiver = new SnapshotReceiver(openLog(disk), transport, { term: 3, received });
  const begin = async (digest: string): Promise<SnapshotAck> => {
    receiver.begin(LEADER, { leaderTerm: 3, meta: META, sizeBytes: CONTENT.length, digest });
    await settle();
    return acks.at(-1)!;
  };
  const chunk = async (offset: number, content: Uint8Array): Promise<SnapshotAck> => {
    const bytes = new Uint8Array(CHUNK_HEADER_BYTES + content.length);
    bytes.set(content, CHUNK_HEADER_BYTES);
    receiver.chunk(
      LEADER,
      { leaderTerm: 3, index: META.index, term: META.term, offset },
      bytes,
      0,
      bytes.length,
    );
    await settle();
    return acks.at(-1)!;
  };
  return { begin, chunk, disk, receiver, installed: () => installed };
}

t.test('content that is not what was announced is not installed', async (t) => {
  const { begin, chunk, installed } = receiving();
  await begin(await digestOf(CONTENT));
  const ack = await chunk(0, CONTENT.toReversed());
  t.equal(ack.status, SnapshotStatus.damaged);
  t.equal(installed(), 0);
});

t.test('chunks that come twice, or not in their turn, do no harm', async (t) => {
  const { begin, chunk, installed } = receiving();
  await begin(await digestOf(CONTENT));
  await chunk(0, CONTENT.subarray(0, 400));
  await chunk(0, CONTENT.subarray(0, 400));
  await chunk(700, CONTENT.subarray(700));
  t.equal((await chunk(400, CONTENT.subarray(400))).status, SnapshotStatus.installed);
  t.equal(installed(), 1);
});

t.test('another snapshot of the same entry is fetched from its beginning', async (t) => {
  const { begin, chunk, installed } = receiving();
  const other = CONTENT.toReversed();
  await begin(await digestOf(other));
  t.equal((await chunk(0, other.subarray(0, 400))).nextOffset, 400);
  const digest = await digestOf(CONTENT);
  t.equal((await begin(digest)).nextOffset, 0);
  await chunk(0, CONTENT.subarray(0, 400));
  t.equal((await begin(digest)).nextOffset, 400, 'the same one goes on');
  t.equal((await chunk(400, CONTENT.subarray(400))).status, SnapshotStatus.installed);
  t.equal(installed(), 1);
});

t.test('a disk that does not let go of what has come so far keeps no node from closing', async (t) => {
  const { begin, chunk, disk, receiver } = receiving();
  await begin(await digestOf(CONTENT));
  await chunk(0, CONTENT.subarray(0, 400));
  disk.onCall = ({ operation }) => {
    if (operation === 'unlink') throw Object.assign(new Error('read-only file system'), { code: 'EROFS' });
    return undefined;
  };
  await t.resolves(receiver.close());
});
