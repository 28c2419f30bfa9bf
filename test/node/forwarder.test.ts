import t from 'tap';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { encodeResponse, frameFlags, frameRequestId } from '../../protocol/client-codec.ts';
import { Status } from '../../protocol/constants.ts';
import { FORWARD_HEADER_BYTES, decodeForward } from '../../protocol/peer-transfer.ts';
import { Forwarder, RemoteSink } from '../../lib/node/forwarder.ts';
import type { Replies } from '../../lib/node/replies.ts';
import { systemRuntime } from '../../lib/node/runtime.ts';
import type { Sink } from '../../lib/node/sink.ts';
import type { Transport } from '../../lib/transport/transport.ts';

const LEADER = 2;

/** A frame of 20 bytes that says nothing but its length. */
function frames(count: number): Uint8Array {
  const out = new ByteWriter(20 * count);
  for (let i = 0; i < count; i++) out.u32(16).bytes(new Uint8Array(16));
  return out.take();
}

/** Three forwarded requests of one client; what it is told, and which of them in the end were refused. */
function forwarded() {
  let token = 0;
  const transport = {
    send: (_peer: number, _lane: number, [frame]: readonly Uint8Array[]) => {
      token = decodeForward(frame!, 0, frame!.length);
      return true;
    },
  } as unknown as Transport;
  const refused: { bytes: number; from: number; status: number }[] = [];
  const replies = {
    touch: () => undefined,
    refuseRun: (_frames: Uint8Array, start: number, end: number, _sink: Sink, status: number) =>
      refused.push({ bytes: end - start, from: start - FORWARD_HEADER_BYTES, status }),
  } as unknown as Replies;
  const forwarder = new Forwarder(transport, replies, systemRuntime, { sentData: () => undefined });
  const sink: Sink = { out: new ByteWriter(64), flush: () => undefined };
  forwarder.forward(LEADER, frames(3), 0, 60, sink, 0);
  return { forwarder, token, sink, refused };
}

t.test('what a lost leader has answered already is not refused as well', async (t) => {
  const { forwarder, token, sink, refused } = forwarded();
  forwarder.replied(LEADER, token, frames(2), 0, 40, true);
  t.equal(sink.out.position, 40);
  forwarder.lost(LEADER);
  t.same(refused, [{ bytes: 20, from: 40, status: Status.unknown }]);
  t.equal(forwarder.bytes, 0);
});

t.test('what it has not answered may have run: unknown', async (t) => {
  for (const end of ['lost', 'expire'] as const) {
    const { forwarder, refused } = forwarded();
    forwarder.lost(LEADER + 1);
    forwarder.expire(0);
    t.same(refused, []);
    if (end === 'lost') forwarder.lost(LEADER);
    else forwarder.expire(1);
    t.same(refused, [{ bytes: 60, from: 0, status: Status.unknown }]);
  }
});

t.test('who was not asked answers nothing', async (t) => {
  const { forwarder, token, sink } = forwarded();
  forwarder.replied(LEADER + 1, token, frames(3), 0, 60, false);
  t.equal(sink.out.position, 0);
});

t.test('an answer that no peer takes is not passed on; those beside it are', async (t) => {
  const sent: [number, number][] = [];
  const transport = {
    send: (_peer: number, _lane: number, [frame]: readonly Uint8Array[]) => {
      if (frame!.length > (16 << 20) + (64 << 10)) return false;
      sent.push([frameRequestId(frame!, FORWARD_HEADER_BYTES), frameFlags(frame!, FORWARD_HEADER_BYTES)]);
      return true;
    },
  } as unknown as Transport;
  const sink = new RemoteSink(transport, LEADER, 1);
  for (const [id, bytes] of [
    [7, 1 << 20],
    [8, 17 << 20],
    [9, 1 << 20],
  ] as const)
    encodeResponse(sink.out, id, Status.ok, new Uint8Array(bytes));
  sink.flush();
  t.same(sent, [
    [7, Status.ok],
    [8, Status.unknown],
    [9, Status.ok],
  ]);
});
