import t from 'tap';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { decodeForward } from '../../protocol/peer-transfer.ts';
import { Forwarder } from '../../lib/node/forwarder.ts';
import type { Replies } from '../../lib/node/replies.ts';
import { systemRuntime, type Runtime } from '../../lib/node/runtime.ts';
import type { Sink } from '../../lib/node/sink.ts';
import { Tokens } from '../../lib/node/tokens.ts';
import type { Transport } from '../../lib/transport/transport.ts';

const LEADER = 2;

function runtimeWith(random: number): Runtime {
  return { ...systemRuntime, random: () => random };
}

/** A process that forwards a run of one frame, and takes answers. */
function forwarding(runtime: Runtime): { token: number; sink: Sink; forwarder: Forwarder } {
  const frames: Uint8Array[] = [];
  const transport = {
    send: (_peer: number, _lane: number, parts: readonly Uint8Array[]) => frames.push(...parts) > 0,
  } as unknown as Transport;
  const replies = { touch: () => undefined } as unknown as Replies;
  const forwarder = new Forwarder(transport, replies, runtime, { sentData: () => undefined });
  const sink: Sink = { out: new ByteWriter(64), flush: () => undefined };
  forwarder.forward(LEADER, new Uint8Array(30), 0, 30, sink, 0);
  return { token: decodeForward(frames[0]!, 0, frames[0]!.length), sink, forwarder };
}

t.test('the answer to a process before is not taken for one to this process', async (t) => {
  const answer = new Uint8Array(20);
  const before = forwarding(runtimeWith(1000));
  const now = forwarding(runtimeWith(4_000_000_000));
  now.forwarder.replied(LEADER, before.token, answer, 0, answer.length, false);
  t.equal(now.sink.out.position, 0, 'it belongs to nobody here');
  now.forwarder.replied(LEADER, now.token, answer, 0, answer.length, false);
  t.equal(now.sink.out.position, answer.length);
});

t.test('two processes on real dice begin at different tokens', async (t) => {
  const first = new Tokens(systemRuntime).next();
  const others = Array.from({ length: 5 }, () => new Tokens(systemRuntime).next());
  t.notOk(others.every((token) => token === first));
});

t.test('tokens go round, and 0 is none', async (t) => {
  const tokens = new Tokens(runtimeWith(0xfffffffe));
  t.same([tokens.next(), tokens.next(), tokens.next()], [0xfffffffe, 0xffffffff, 1]);
  t.equal(new Tokens(runtimeWith(0)).next(), 1);
});
