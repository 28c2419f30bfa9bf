import t from 'tap';
import type { Config, Member } from '../../lib/core/types.ts';
import { PeerRegistry, type PeerMemory } from '../../lib/node/peer-registry.ts';
import { bootstrapOf } from '../../lib/node/options.ts';
import { systemRuntime, type Runtime } from '../../lib/node/runtime.ts';
import type { PeerIntroduction } from '../../protocol/peer-handshake.ts';

const member = (id: number): Member => ({ id, peerAddress: `10.0.0.${id}:1` });
const configOf = (ids: number[], retired?: number[]): Config => ({
  ...bootstrapOf(ids.map(member)),
  ...(retired === undefined ? {} : { retired }),
});
const hello = (from: number, incarnation: string, configIndex = 0): PeerIntroduction => ({
  clusterId: 'c',
  from,
  to: 1,
  incarnation,
  clientAddress: '',
  maxFrameBytes: 1 << 20,
  features: [],
  peerAddress: `10.0.0.${from}:1`,
  configIndex,
});

/** A memory that outlives the registry, not the process. */
function volatileMemory(): PeerMemory {
  const known = new Map<number, string>();
  return {
    get known() {
      return [...known];
    },
    incarnationOf: (id) => known.get(id),
    remember: (id, incarnation) => {
      known.set(id, incarnation);
    },
  };
}

interface Made {
  readonly registry: PeerRegistry;
  readonly errors: string[];
  /** Whom it is connected to. */
  peers(): number[];
  /** Runs every timer that is set. */
  elapse(): void;
}

function make(
  config: Config,
  configIndex = 0,
  memory: PeerMemory = volatileMemory(),
  isFresh: () => boolean = () => true,
  isCommitted: () => boolean = () => true,
): Made {
  const timers: (() => void)[] = [];
  const runtime: Runtime = {
    ...systemRuntime,
    timer: (_delayMs, callback) => {
      timers.push(callback);
      return () => undefined;
    },
  };
  const errors: string[] = [];
  const nothing = (): void => undefined;
  const logger = {
    debug: nothing,
    info: nothing,
    warn: nothing,
    error: (_fields: object, message: string) => errors.push(message),
  };
  const registry = new PeerRegistry(
    { id: 1, memory, logger, runtime, isFresh, graceMs: 100, isCommitted, onBarred: nothing },
    config,
    configIndex,
  );
  let peers: number[] = [];
  registry.open((members) => {
    peers = members.map(({ id }) => id).sort();
  });
  return {
    registry,
    errors,
    peers: () => peers,
    elapse: () => {
      for (const timer of timers.splice(0)) timer();
    },
  };
}

t.test('the first directory met under an id is the only one', async (t) => {
  const memory = volatileMemory();
  const { registry } = make(configOf([1, 2, 3]), 0, memory);
  t.equal(registry.judge(hello(2, 'first')), null);
  t.equal(registry.judge(hello(2, 'first')), null);
  t.match(registry.judge(hello(2, 'second')), { code: 'INCARNATION_CHANGED' });
  t.match(make(configOf([1, 2, 3]), 0, memory).registry.judge(hello(2, 'second')), {
    code: 'INCARNATION_CHANGED',
  });
});

t.test('guests are no more than a configuration can have, and nobody beyond is remembered', async (t) => {
  const memory = volatileMemory();
  const { registry, peers } = make(configOf([1, 2, 3]), 5, memory);
  for (let id = 4; id < 1000; id++) registry.judge(hello(id, `directory ${id}`, 7));
  t.equal(peers().length, 2 + 64);
  t.equal(registry.judge(hello(4, 'directory 4', 8)), null, 'a guest may come again');
  t.match(registry.judge(hello(999, 'directory 999', 7)), { code: 'UNKNOWN_PEER' });
  t.equal(memory.incarnationOf(999), undefined);
  t.equal(registry.judge(hello(2, 'directory 2')), null, 'members are always let in');
});

t.test('what the configuration says of a member holds before it was ever met', async (t) => {
  const config = { ...configOf([1, 2]), members: [member(1), { ...member(2), incarnation: 'true' }] };
  const { registry } = make(config, 7);
  t.match(registry.judge(hello(2, 'false')), { code: 'INCARNATION_CHANGED' });
  t.equal(registry.judge(hello(2, 'true')), null);
});

t.test('nobody is accepted who could not be noted down', async (t) => {
  const memory: PeerMemory = {
    known: [],
    incarnationOf: () => undefined,
    remember: () => {
      throw new Error('disk full');
    },
  };
  t.match(make(configOf([1, 2]), 0, memory).registry.judge(hello(2, 'x')), { code: 'DISK_FULL' });
});

t.test('strangers are refused, members of newer configurations are not', async (t) => {
  const { registry, peers } = make(configOf([1, 2]), 10);
  t.match(registry.judge(hello(3, 'x')), { code: 'UNKNOWN_PEER' });
  t.match(registry.judge(hello(3, 'x', 10)), { code: 'UNKNOWN_PEER' });
  t.same(peers(), [2]);
  t.equal(registry.judge(hello(3, 'x', 11)), null);
  t.same(peers(), [2, 3], 'it can be answered');
  registry.follow(configOf([1, 2]), 11);
  t.same(peers(), [2], 'the newer configuration has come, and it is not in it');
});

t.test('while its own configuration is uncommitted a node hears members of any other', async (t) => {
  let committed = false;
  const { registry, peers } = make(configOf([1, 2], [3]), 13, volatileMemory(), undefined, () => committed);
  t.equal(registry.judge(hello(4, 'x', 10)), null, 'it may know better, and at a lower index');
  t.same(peers(), [2, 4]);
  t.match(registry.judge(hello(3, 'x', 10)), { code: 'UNKNOWN_PEER' }, 'it is about to be removed');
  registry.follow(configOf([1, 2, 4]), 10);
  t.same(peers(), [2, 4]);
  committed = true;
  t.match(registry.judge(hello(5, 'x', 9)), { code: 'UNKNOWN_PEER' });
});

t.test('a removed member is talked to for a little longer, then refused', async (t) => {
  const { registry, peers, elapse } = make(configOf([1, 2, 3]));
  registry.follow(configOf([1, 2], [3]), 5);
  t.same(peers(), [2, 3]);
  elapse();
  t.same(peers(), [2]);
  t.match(registry.judge(hello(3, 'x', 9)), { code: 'NODE_REMOVED' });
  t.match(registry.objectionTo(3, 'y'), { code: 'ID_RETIRED' });
});

t.test('a node that sees itself removed keeps quiet, but not for a change that was taken back', async (t) => {
  const back = make(configOf([1, 2, 3]));
  back.registry.follow(configOf([2, 3]), 5);
  back.registry.follow(configOf([1, 2, 3]), 0);
  back.elapse();
  t.equal(back.registry.barred, null);
  const gone = make(configOf([1, 2, 3]));
  gone.registry.follow(configOf([2, 3], [1]), 5);
  t.same(gone.peers(), [2, 3]);
  gone.elapse();
  t.match(gone.registry.barred, { code: 'NODE_REMOVED' });
  t.same(gone.peers(), []);
  t.match(gone.registry.judge(hello(2, 'x')), { code: 'UNKNOWN_PEER' }, 'and does not pass its fate on');
});

t.test('until a removal is committed nobody is told of it, nor keeps quiet', async (t) => {
  let committed = false;
  const { registry, peers, elapse } = make(
    configOf([1, 2, 3]),
    0,
    volatileMemory(),
    undefined,
    () => committed,
  );
  registry.follow(configOf([2], [1, 3]), 5);
  elapse();
  t.equal(registry.barred, null);
  t.same(peers(), [2]);
  t.match(registry.judge(hello(3, 'x')), { code: 'UNKNOWN_PEER' }, 'it may ask again');
  committed = true;
  t.match(registry.judge(hello(3, 'x')), { code: 'NODE_REMOVED' });
  registry.turnedAway(2, 'NODE_REMOVED', 'node 1 was removed');
  t.match(registry.barred, { code: 'NODE_REMOVED' });
});

t.test('told that its place is taken, a node ends its connections and says so once', async (t) => {
  const { registry, peers, errors } = make(configOf([1, 2, 3]));
  registry.turnedAway(2, 'UNKNOWN_PEER', 'who?');
  t.equal(registry.barred, null);
  registry.turnedAway(2, 'INCARNATION_CHANGED', 'not you');
  registry.turnedAway(3, 'INCARNATION_CHANGED', 'not you');
  t.same(peers(), []);
  t.equal(errors.length, 1);
  t.match(errors[0], /old directory.*cordwood member remove/s);
});

t.test('one mistaken peer does not silence a node with a history', async (t) => {
  const { registry, peers, errors } = make(configOf([1, 2, 3]), 0, volatileMemory(), () => false);
  registry.turnedAway(2, 'INCARNATION_CHANGED', 'not you');
  t.same(peers(), [2, 3]);
  t.equal(registry.barred, null);
  t.equal(errors.length, 1);
});

t.test(
  'once the members have agreed on its directory, a node that was away for long cannot bar it',
  async (t) => {
    let agreed = false;
    const { registry, errors } = make(configOf([1, 2, 3]), 0, volatileMemory(), () => !agreed);
    agreed = true;
    registry.turnedAway(3, 'INCARNATION_CHANGED', 'not you');
    t.equal(registry.barred, null);
    t.equal(errors.length, 1);
    agreed = false;
    registry.turnedAway(3, 'INCARNATION_CHANGED', 'not you');
    t.match(registry.barred, { code: 'INCARNATION_CHANGED' });
  },
);
