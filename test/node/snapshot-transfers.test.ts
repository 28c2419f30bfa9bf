import t from 'tap';
import { Lane } from '../../protocol/constants.ts';
import { decodeSnapshotChunk, encodeSnapshotChunk } from '../../protocol/peer-transfer.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { META, PAUSE_MS, SnapshotRig, settle } from './support/snapshot-rig.ts';

const MIB = 1 << 20;
const CHUNK_BYTES = 256 << 10;
const WINDOW_BYTES = 1 * MIB;

async function contentOf(rig: SnapshotRig, id: number): Promise<number> {
  const { log } = rig.followers.get(id)!;
  return log.snapshots.latest?.meta.index === META.index ? log.snapshots.latest.sizeBytes : 0;
}

t.test('a transfer that broke off goes on where it was', async (t) => {
  const rig = new SnapshotRig([2]);
  await rig.snapshot(6 * MIB);
  rig.transfers.send(2, 3);
  const offsets = rig.offsets.get(2)!;
  let breaks = 0;
  for (let ms = 0; ms < 400 && rig.ended.length === 0; ms++) {
    await rig.run(1);
    if (ms % 20 !== 19) continue;
    breaks++;
    rig.link(2, false);
    await rig.run(3);
    rig.link(2, true);
  }
  t.same(rig.ended, [2]);
  t.equal(await contentOf(rig, 2), 6 * MIB);
  t.ok(breaks > 2, `${breaks} breaks`);
  const twice = offsets.length - new Set(offsets).size;
  t.ok(twice * CHUNK_BYTES <= breaks * WINDOW_BYTES, 'no more is sent again than was on its way');
  t.equal(rig.transfers.active, 0);
});

t.test('a transfer keeps to its rate', async (t) => {
  const rig = new SnapshotRig([2]);
  await rig.snapshot(8 * MIB);
  rig.transfers.send(2, 3);
  await settle();
  let most = 0;
  for (let ms = 1; rig.ended.length === 0 && ms < 1000; ms++) {
    await rig.run(1);
    most = Math.max(most, rig.bytesSent - ((64 * MIB) / 1000) * ms);
  }
  t.same(rig.ended, [2]);
  t.ok(rig.runtime.now() >= 90, `8 MiB took ${rig.runtime.now()} ms`);
  t.ok(most <= 2 * MIB, `${most} bytes ahead of 64 MiB a second`);
});

t.test('few transfers at a time; the others wait for their turn', async (t) => {
  const rig = new SnapshotRig([2, 3, 4, 5]);
  await rig.snapshot(2 * MIB);
  for (const id of [2, 3, 4, 5]) rig.transfers.send(id, 3);
  let most = 0;
  for (let ms = 0; ms < 500 && rig.ended.length < 4; ms++) {
    await rig.run(1);
    most = Math.max(most, rig.transfers.active);
  }
  t.equal(most, 2);
  t.same([...rig.ended].sort(), [2, 3, 4, 5]);
  for (const id of [2, 3, 4, 5]) t.equal(await contentOf(rig, id), 2 * MIB);
});

t.test('a transfer is given up for lack of progress and not for taking long', async (t) => {
  const rig = new SnapshotRig([2]);
  const patienceMs = 50;
  await rig.snapshot(12 * MIB);
  rig.transfers.send(2, 3);
  // Longer than the patience, all in all.
  for (let ms = 0; ms < 100; ms++) {
    await rig.run(1);
    rig.transfers.sweep(patienceMs);
  }
  t.same(rig.ended, []);
  t.equal(rig.transfers.active, 1);
  rig.followers.get(2)!.stuck = true;
  for (let ms = 0; ms <= patienceMs + 1; ms++) {
    await rig.run(1);
    rig.transfers.sweep(patienceMs);
  }
  t.same(rig.ended, [2], 'nothing came any more');
  t.same(rig.renewed, [[2, Lane.bulk]], 'the connection may be to blame');
  t.equal(rig.transfers.active, 0);
});

t.test('a snapshot that takes long to install is not taken for stuck', async (t) => {
  const rig = new SnapshotRig([2]);
  const patienceMs = 30;
  let installed = (): void => undefined;
  rig.install = () =>
    new Promise((resolve) => {
      installed = () => {
        resolve(true);
      };
    });
  await rig.snapshot(MIB);
  rig.transfers.send(2, 3);
  for (let ms = 0; ms < 6 * patienceMs; ms++) {
    await rig.run(1);
    rig.transfers.sweep(patienceMs);
    if (ms % 10 === 0) rig.followers.get(2)!.receiver.sweep(0);
  }
  t.equal(await contentOf(rig, 2), MIB, 'all of it is there');
  t.same(rig.ended, [], 'and the leader waits for the rest');
  installed();
  await settle();
  t.same(rig.ended, [2]);
});

t.test('the log is pinned while a snapshot is on its way, and no longer', async (t) => {
  const rig = new SnapshotRig([2, 3]);
  await rig.snapshot(3 * MIB);
  t.equal(rig.transfers.pinned, Infinity);
  rig.transfers.send(2, 3);
  rig.followers.get(2)!.stuck = true;
  await rig.run(5);
  t.equal(rig.transfers.pinned, Infinity, 'a follower that has not answered pins nothing');
  rig.followers.get(2)!.stuck = false;
  rig.transfers.send(3, 3);
  rig.link(2, true);
  await rig.run(5);
  t.equal(rig.transfers.pinned, META.index);
  rig.followers.get(3)!.stuck = true;
  while (rig.ended.length === 0) await rig.run(1);
  t.equal(rig.transfers.pinned, META.index, 'the other still needs what comes behind it');
  await rig.run(10);
  rig.transfers.sweep(5);
  t.equal(rig.transfers.pinned, Infinity, 'nor does one that has gone silent, after a while');
});

t.test('a transfer that fails is not begun again at once', async (t) => {
  const rig = new SnapshotRig([2]);
  // There is nothing to send.
  for (let ms = 0; ms < 3 * PAUSE_MS; ms++) {
    rig.transfers.send(2, 3);
    await rig.run(1);
    rig.transfers.sweep(1000);
  }
  t.ok(rig.ended.length >= 2 && rig.ended.length <= 4, `${rig.ended.length} attempts`);
  await rig.snapshot(MIB);
  rig.transfers.send(2, 3);
  for (let ms = 0; ms < 2 * PAUSE_MS; ms++) {
    await rig.run(1);
    rig.transfers.sweep(1000);
  }
  t.equal(await contentOf(rig, 2), MIB, 'it is begun again by itself');
});

t.test('a follower whose disk has no room for a snapshot says so', async (t) => {
  const rig = new SnapshotRig([2]);
  await rig.snapshot(MIB);
  rig.followers.get(2)!.disk.capacityBytes = 0;
  rig.transfers.send(2, 3);
  await rig.run(20);
  t.same(rig.begun, [2]);
  t.same(rig.ended, [2], 'the leader does not wait until it loses patience');
});

t.test('what a broken-off transfer has brought is let go once the log makes it superfluous', async (t) => {
  const rig = new SnapshotRig([2]);
  await rig.snapshot(6 * MIB);
  rig.transfers.send(2, 3);
  await rig.run(10);
  rig.link(2, false);
  const { disk, receiver } = rig.followers.get(2)!;
  const pieces = (): string[] => disk.files().filter((file) => file.endsWith('.tmp'));
  t.equal(pieces().length, 1);
  receiver.sweep(META.index - 1);
  await settle();
  t.equal(pieces().length, 1, 'it may go on where it was');
  receiver.sweep(META.index);
  await settle();
  t.same(pieces(), []);
});

t.test('a leader that is none any more sends nothing more', async (t) => {
  const rig = new SnapshotRig([2, 3, 4]);
  await rig.snapshot(4 * MIB);
  for (const id of [2, 3, 4]) rig.transfers.send(id, 3);
  await rig.run(3);
  rig.transfers.stop();
  const sent = rig.bytesSent;
  await rig.run(200);
  rig.transfers.sweep(1000);
  await rig.run(50);
  t.ok(rig.bytesSent - sent <= 2 * CHUNK_BYTES + 1000, 'but for what was being read');
  t.equal(rig.transfers.active, 0);
  t.notOk(rig.begun.includes(4));
});

t.test('a chunk that changed on its way is refused', async (t) => {
  const out = new ByteWriter(2000);
  encodeSnapshotChunk(out, { leaderTerm: 3, index: 50, term: 3, offset: 0 }, new Uint8Array(1000).fill(7));
  const frame = Uint8Array.from(out.buffer.subarray(0, out.position));
  t.equal(decodeSnapshotChunk(frame, 0, frame.length).offset, 0);
  for (let at = 8; at < frame.length; at += 13) {
    const changed = Uint8Array.from(frame);
    changed[at]! ^= 1;
    t.throws(() => decodeSnapshotChunk(changed, 0, changed.length), { code: 'PROTOCOL_ERROR' });
  }
});
