import t from 'tap';
import type { Config } from '../../lib/core/types.ts';
import { joinCluster } from '../../lib/node/join-cluster.ts';
import { bootstrapOf, nobody, resolveOptions, type ResolvedOptions } from '../../lib/node/options.ts';
import { systemRuntime, type Runtime } from '../../lib/node/runtime.ts';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import type { Introduction } from '../../protocol/introduction.ts';

const members = [1, 2].map((id) => ({ id, peerAddress: `10.0.0.${id}:1` }));

function introduction(nodeId: number, over: Partial<Introduction> = {}): Introduction {
  return {
    clusterId: 'wood',
    nodeId,
    incarnation: `data-${nodeId}`,
    peerAddress: `10.0.0.${nodeId}:1`,
    clientAddress: '',
    empty: false,
    config: bootstrapOf(members),
    configIndex: 0,
    ...over,
  };
}

/** Options of node 5, on a clock that every wait moves on. */
function options(joinSignal?: AbortSignal): ResolvedOptions {
  let now = 0;
  const runtime: Runtime = {
    ...systemRuntime,
    now: () => now,
    timer: (delayMs, callback) => {
      now += delayMs;
      setImmediate(callback);
      return () => undefined;
    },
  };
  return resolveOptions({
    id: 5,
    cluster: ['10.0.0.1:1', '10.0.0.2:1', '10.0.0.5:1'],
    dataDir: 'in memory',
    machine: new StackMachine(),
    join: true,
    runtime,
    ...(joinSignal === undefined ? {} : { joinSignal }),
  });
}

/** Who answers at which of the two addresses, in which round. */
function answers(...rounds: (Introduction | null)[][]): (address: string) => Promise<Introduction> {
  const asked = new Map<string, number>();
  return (address) => {
    const round = asked.get(address) ?? 0;
    asked.set(address, round + 1);
    const place = address === '10.0.0.1:1' ? 0 : 1;
    const answer = rounds[Math.min(round, rounds.length - 1)]![place] ?? null;
    return answer === null
      ? Promise.reject(new CordwoodError('UNREACHABLE', address))
      : Promise.resolve(answer);
  };
}

t.test('a node that joins is no member of anything, and listens where it said', async (t) => {
  const { bootstrap, peerAddress, join } = options();
  t.same(bootstrap, nobody);
  t.equal(peerAddress, '10.0.0.5:1');
  t.same(join?.addresses, ['10.0.0.1:1', '10.0.0.2:1']);
});

t.test('it waits until a member answers, and takes the newest word', async (t) => {
  const newer: Config = { ...bootstrapOf(members), retired: [3] };
  const introduce = answers(
    [null, null],
    [null, introduction(9, { clusterId: 'other', config: nobody, empty: true })],
    [introduction(1), introduction(2, { config: newer, configIndex: 8 })],
  );
  t.same(await joinCluster(options(), introduce), { clusterId: 'wood', members });
});

t.test('it does not join what it must not', async (t) => {
  const cases: [string, (Introduction | null)[]][] = [
    ['WRONG_CLUSTER', [introduction(1), introduction(2, { clusterId: 'iron' })]],
    ['ID_RETIRED', [introduction(1, { config: { ...bootstrapOf(members), retired: [5] } }), null]],
    [
      'INCARNATION_CHANGED',
      [introduction(1, { config: bootstrapOf([...members, { id: 5, peerAddress: '10.0.0.5:1' }]) }), null],
    ],
    ['UNREACHABLE', [null, null]],
  ];
  for (const [code, round] of cases) {
    await t.rejects(joinCluster(options(), answers(round)), { code }, code);
  }
});

t.test('the wait can be ended', async (t) => {
  const abort = new AbortController();
  abort.abort();
  await t.rejects(joinCluster(options(abort.signal), answers([null, null])), { code: 'ABORTED' });
});
