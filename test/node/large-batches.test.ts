import t from 'tap';
import { encodeCommand } from '../../protocol/client-codec.ts';
import { StackOp, Status } from '../../protocol/constants.ts';
import { encodeValue } from '../../protocol/msgpack.ts';
import { until } from '../e2e/support/until.ts';
import { Caller } from './support/caller.ts';
import { TestCluster } from './support/test-cluster.ts';

const COUNT = 20;

// A frame between peers has 16 MiB and a little more.
for (const where of ['the leader', 'a follower'] as const) {
  t.test(`more than a frame takes, sent to ${where} in one piece, does not end the cluster`, async (t) => {
    const cluster = await TestCluster.start(t, 3);
    const leader = await cluster.leader();
    const node = where === 'the leader' ? leader : cluster.nodes.find((other) => other !== leader)!;
    const caller = new Caller(node);
    const body = encodeValue([StackOp.push, 'a', new Uint8Array(1 << 20)]);
    const answers = await Promise.all(
      caller.sendTogether(COUNT, (out, id) => {
        encodeCommand(out, id, 0, 0, 0, body);
      }),
    );
    // Where all nodes share one busy processor another may come to lead meanwhile.
    const excused: readonly number[] = [Status.noLeader, Status.unknown];
    const done = answers.filter(({ status }) => !excused.includes(status));
    t.same(
      done,
      done.map((_, i) => ({ status: Status.ok, value: i + 1 })),
    );
    const { pushes } = await until('it to answer', async () => {
      const { status, value } = await caller.query(StackOp.size, 'a');
      if (status === Status.notFound) return { pushes: 0 };
      return status === Status.ok ? { pushes: value as number } : null;
    });
    t.ok(
      pushes >= done.length && pushes <= COUNT,
      `${pushes} pushes of ${COUNT} are there, ${done.length} were acknowledged`,
    );
  });
}
