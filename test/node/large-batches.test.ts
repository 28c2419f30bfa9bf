import t from 'tap';
import { encodeCommand } from '../../protocol/client-codec.ts';
import { StackOp, Status } from '../../protocol/constants.ts';
import { encodeValue } from '../../protocol/msgpack.ts';
import { Caller } from './support/caller.ts';
import { TestCluster } from './support/test-cluster.ts';

// A frame between peers has 16 MiB and a little more.
for (const where of ['the leader', 'a follower'] as const) {
  t.test(`more than a frame takes, sent to ${where} in one piece, is committed`, async (t) => {
    const cluster = await TestCluster.start(t, 3);
    const leader = await cluster.leader();
    const node = where === 'the leader' ? leader : cluster.nodes.find((other) => other !== leader)!;
    const caller = new Caller(node);
    const body = encodeValue([StackOp.push, 'a', new Uint8Array(1 << 20)]);
    const answers = caller.sendTogether(20, (out, id) => {
      encodeCommand(out, id, 0, 0, 0, body);
    });
    t.same(
      await Promise.all(answers),
      answers.map((_, i) => ({ status: Status.ok, value: i + 1 })),
    );
  });
}
