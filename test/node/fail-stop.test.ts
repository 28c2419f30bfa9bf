import t, { type Test } from 'tap';
import { Client } from '../../lib/client/index.ts';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import type { LogEvents } from '../../lib/log/log-store.ts';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import type { Environment } from '../../lib/node/bootstrap.ts';
import { RaftNode } from '../../lib/node/node.ts';
import type { NodeOptions } from '../../lib/node/types.ts';
import { StackOp, Status } from '../../protocol/constants.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { encodeCommand } from '../../protocol/client-codec.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { encodeValue } from '../../protocol/msgpack.ts';
import { until } from '../e2e/support/until.ts';
import { Caller } from './support/caller.ts';
import { replacing } from './support/memory-cluster.ts';
import { DiskGate, freePorts, memoryEnvironment } from './support/memory-environment.ts';

interface Setup {
  readonly nodes: RaftNode[];
  readonly gates: DiskGate[];
  /** What the log of each node tells it. */
  readonly logs: LogEvents[];
}

/** `through`: in place of the environment of each node. */
async function setUp(
  t: Test,
  size: number,
  own: Partial<NodeOptions> = {},
  through: (environment: Environment) => Environment = (environment) => environment,
): Promise<Setup> {
  const cluster = (await freePorts(size)).map((port) => `127.0.0.1:${port}`);
  const gates = cluster.map(() => new DiskGate());
  const logs: LogEvents[] = [];
  const nodes = await Promise.all(
    cluster.map((_, i) =>
      RaftNode.start(
        {
          id: i + 1,
          cluster,
          dataDir: 'in memory',
          machine: new StackMachine(),
          heartbeatMs: 20,
          electionTimeoutMs: 2000,
          ...own,
        },
        async (options, resolved, events) => {
          logs[i] = events;
          const open = memoryEnvironment(new MemoryDisk(), {}, gates[i]);
          return through(await open(options, resolved, events));
        },
      ),
    ),
  );
  t.teardown(async () => {
    for (const gate of gates) gate.goOn();
    await Promise.all(nodes.map((node) => node.close({ transfer: false })));
  });
  return { nodes, gates, logs };
}

/** What the process would have died of, had anybody but this test been there. */
function uncaught(t: Test): unknown[] {
  const errors: unknown[] = [];
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => errors.push(error));
  t.teardown(() => {
    process.removeAllListeners('uncaughtException');
    for (const listener of listeners) process.on('uncaughtException', listener);
  });
  return errors;
}

const bug = (): never => {
  throw new Error('a bug of the application');
};

t.test('a listener for leaders that throws does not stop the node', async (t) => {
  const { nodes } = await setUp(t, 1);
  const [node] = nodes as [RaftNode];
  const errors = uncaught(t);
  const heard: unknown[] = [];
  node.onLeader(bug);
  node.onLeader((leader) => heard.push(leader?.id ?? 0));
  await until('the leader to be told', () => heard.length > 0 || node.failure !== null);
  t.equal(node.failure, null);
  t.match(errors, [{ message: 'a bug of the application' }]);
  await node.close();
  t.same(heard, [1, 0]);
  t.equal(errors.length, 2);
});

t.test('a listener for failures that throws does not keep the node from stopping', async (t) => {
  const { nodes, logs } = await setUp(t, 1);
  const [node] = nodes as [RaftNode];
  const errors = uncaught(t);
  const told: unknown[] = [];
  node.onFailure(bug);
  node.onFailure((error) => told.push(error));
  const failure = new CordwoodError('LOG_FAILED', 'the disk failed: EIO');
  logs[0]!.onFailure(failure);
  await node.closed;
  t.equal(node.failure, failure);
  t.same(told, [failure]);
  t.match(errors, [{ message: 'a bug of the application' }]);
});

t.test(
  'who asks for the failure of a node that has failed is told, once, and not in the middle of it',
  async (t) => {
    const { nodes, logs } = await setUp(t, 1);
    const [node] = nodes as [RaftNode];
    const failure = new CordwoodError('LOG_FAILED', 'the disk failed: EIO');
    logs[0]!.onFailure(failure);
    const told: unknown[] = [];
    node.onFailure((error) => told.push(error));
    node.onFailure(() => told.push('nobody asks any more'))();
    t.same(told, []);
    await node.closed;
    t.same(told, [failure]);
  },
);

t.test('a node that fails while it hands over, in order to close, stops there and then', async (t) => {
  const { nodes, gates, logs } = await setUp(t, 2);
  const leader = await until('a leader', () =>
    nodes.find((node) => node.status().role === 'leader' && nodes.every((n) => n.leader?.id === node.id)),
  );
  const client = Client.local(leader);
  await client.push('a', 1);
  await client.close();
  const other = 3 - leader.id;
  // The other one is asked to take over, and has no disk to vote on.
  gates[other - 1]!.stall();
  const closing = leader.close();
  t.equal(leader.status().role, 'leader', 'it waits for the other');
  const failure = new CordwoodError('LOG_FAILED', 'the disk failed: EIO');
  logs[leader.id - 1]!.onFailure(failure);
  t.not(leader.status().role, 'leader');
  t.equal(leader.failure, failure);
  await closing;
});

t.test('a client in the process of a node that has closed is told so: nothing was applied', async (t) => {
  const { nodes } = await setUp(t, 1);
  const [node] = nodes as [RaftNode];
  const old = Client.local(node);
  t.equal(await old.push('a', 1), 1);
  await node.close();
  const expected = { code: 'CLOSED', outcome: 'not_applied' };
  await t.rejects(old.push('a', 2, { timeoutMs: 100 }), expected);
  const late = Client.local(node);
  await t.rejects(late.push('a', 2, { timeoutMs: 100 }), expected);
  await t.rejects(late.top('a', { timeoutMs: 100 }), expected);
  await Promise.all([old.close(), late.close()]);
});

t.test('what the core finds out when its disk answers ends the node, and not the process', async (t) => {
  const { nodes } = await setUp(t, 1);
  const node = nodes[0]!;
  await until('a leader', () => node.status().role === 'leader');
  const errors = uncaught(t);
  const broken = new CordwoodError('LOG_FAILED', 'the log is not what it was');
  node.core.durable = () => {
    throw broken;
  };
  const client = Client.local(node, { timeoutMs: 5000 });
  t.teardown(() => client.close());
  await t.rejects(client.push('s', 1));
  await node.closed;
  t.equal(node.failure, broken);
  t.same(errors, []);
});

/** A node alone that has taken more than it has room for, and waits for its disk; and the answer to that. */
async function saturated(t: Test) {
  const { nodes, gates } = await setUp(t, 1, { maxUncommittedBytes: 100 });
  const [node, gate] = [nodes[0]!, gates[0]!];
  await until('a leader', () => node.core.termCommitted);
  gate.stall();
  const answer = new Caller(node).command(StackOp.push, 's', 'x'.repeat(1000));
  t.ok(node.saturated);
  return { node, gate, answer };
}

t.test('who waits for room and throws disturbs neither the node nor the others who wait', async (t) => {
  const { node, gate, answer } = await saturated(t);
  const errors = uncaught(t);
  t.throws(() => {
    node.onRoom(undefined as never);
  }, TypeError);
  let told = 0;
  node.onRoom(bug);
  node.onRoom(() => told++);
  gate.goOn();
  t.equal((await answer).status, Status.ok);
  await until('the others to be told', () => told === 1);
  t.equal(node.failure, null);
  t.match(errors, [{ message: 'a bug of the application' }]);
});

t.test('who waits for room and throws does not keep the node from closing', async (t) => {
  const { node, answer } = await saturated(t);
  const errors = uncaught(t);
  node.onRoom(bug);
  await node.close();
  t.not((await answer).status, Status.ok);
  await until('its error to be reported', () => errors.length > 0);
  t.match(errors, [{ message: 'a bug of the application' }]);
});

t.test('what cannot be closed keeps nothing else open, and is told', async (t) => {
  const ended: string[] = [];
  const { nodes } = await setUp(t, 1, {}, (environment) =>
    replacing(environment, {
      log: replacing(environment.log, {
        close: async () => {
          await environment.log.close();
          ended.push('log');
        },
      }),
      connect: async (events, policy) => {
        const transport = await environment.connect(events, policy);
        return replacing(transport, {
          close: async () => {
            await transport.close();
            ended.push('transport');
            throw new Error('the network is broken');
          },
        });
      },
      release: async () => {
        await environment.release();
        ended.push('directory');
      },
    }),
  );
  const [node] = nodes as [RaftNode];
  // Its client is told in the last turn, and has a bug.
  const sink = new Caller(node);
  node.submit(...pushFrame(), replacing(sink, { flush: bug }));
  await t.rejects(node.close({ transfer: false }), { message: 'a bug of the application' });
  t.same(ended, ['transport', 'log', 'directory']);
  await node.closed;
  // Nothing is left to be closed at the end of the test, which would be told the same.
  nodes.length = 0;
});

/** One push, as bytes and where they begin and end. */
function pushFrame(): [bytes: Uint8Array, start: number, end: number] {
  const out = new ByteWriter();
  encodeCommand(out, 1, 0, 0, 0, encodeValue([StackOp.push, 's', 'x']));
  return [out.buffer, 0, out.position];
}

t.test('a logger that throws disturbs nothing', async (t) => {
  const logger = { debug: bug, info: bug, warn: bug, error: bug };
  const errors = uncaught(t);
  const { nodes, logs } = await setUp(t, 1, { logger });
  const [node] = nodes as [RaftNode];
  await until('a leader', () => node.core.termCommitted);
  t.equal((await new Caller(node).command(StackOp.push, 's', 'x')).status, Status.ok);
  node.snapshot();
  await until('a snapshot', () => node.status().snapshotIndex > 0);
  t.equal(node.failure, null);
  const told: unknown[] = [];
  node.onFailure((error) => told.push(error));
  const failure = new CordwoodError('LOG_FAILED', 'the disk failed: EIO');
  logs[0]!.onFailure(failure);
  await node.closed;
  t.same(told, [failure]);
  t.ok(errors.length >= 3, 'a leader, a snapshot, a failure');
  for (const error of errors) t.match(error, { message: 'a bug of the application' });
});
