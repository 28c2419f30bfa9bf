import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import type { Config } from '../../lib/core/types.ts';
import { NodeDisk } from '../../lib/log/node-disk.ts';
import { PeerFile } from '../../lib/log/peer-file.ts';
import { SurvivingLog } from '../../lib/log/surviving-log.ts';
import { planRecovery } from '../../lib/node/recovery-plan.ts';
import { makeDirectory } from '../log/support/made-directory.ts';
import type { Made } from '../log/support/made-directory.ts';

const disk = new NodeDisk();

function surviving(dir: string, name: string, made: Made): SurvivingLog {
  makeDirectory(path.join(dir, name), made);
  return new SurvivingLog(disk, path.join(dir, name));
}

t.test('a later term beats a longer log', async (t) => {
  const dir = t.testdir();
  const long = surviving(dir, 'a', { nodeId: 1, entries: 30, term: 3 });
  const late = surviving(dir, 'b', { nodeId: 2, entries: 5, term: 4 });
  const plan = planRecovery([long, late]);
  t.same(
    plan.ranked.map(({ identity }) => identity.nodeId),
    [2, 1],
  );
  t.equal(plan.term, 5, 'above every term that was seen');
  t.same(plan.lost, [3]);
  t.equal(plan.quorumLeft, true);
  t.equal(plan.ranked[0]!.committedIndex, 10);
});

t.test('one of three may lack what was acknowledged; two of four do not', async (t) => {
  const dir = t.testdir();
  const one = surviving(dir, 'a', { nodeId: 1 });
  t.match(planRecovery([one]), { mayLose: true, quorumLeft: false, lost: [2, 3] });
  const two = surviving(dir, 'b', { nodeId: 2 });
  const four: Config = { ...one.config!, voters: [1, 2, 3, 4] };
  const withFour = [one, two].map((log) => Object.create(log, { config: { value: four } })) as SurvivingLog[];
  t.match(planRecovery(withFour), { mayLose: false, quorumLeft: false, lost: [3, 4] });
});

t.test('half of a change that others may have ended is not all there is', async (t) => {
  const one = surviving(t.testdir(), 'a', { nodeId: 1 });
  const changing: Config = { ...one.config!, voters: [3, 4, 5], outgoing: [1, 2, 3] };
  const survivors = (ids: number[]): SurvivingLog[] =>
    ids.map((nodeId) =>
      Object.create(one, {
        identity: { value: { ...one.identity, nodeId } },
        config: { value: changing },
      }),
    ) as SurvivingLog[];
  t.match(planRecovery(survivors([1, 2])), { mayLose: true, quorumLeft: false }, 'the new three went on');
  t.match(planRecovery(survivors([4, 5])), { mayLose: true, quorumLeft: false }, 'the old three went on');
  t.match(planRecovery(survivors([1, 3, 4])), { mayLose: false, quorumLeft: true });
});

t.test('a damaged directory counts for what is whole of it, and for no majority', async (t) => {
  const dir = t.testdir();
  makeDirectory(path.join(dir, 'a'), { nodeId: 1 });
  const log = path.join(dir, 'a', 'log');
  const [segment] = fs.readdirSync(log).filter((name) => name.endsWith('.log'));
  const file = path.join(log, segment!);
  const bytes = fs.readFileSync(file);
  // Somewhere in the middle of the entries behind the snapshot.
  bytes[64 + 32 + 48 + 5 * 130]! ^= 1;
  fs.writeFileSync(file, bytes);
  const hurt = new SurvivingLog(disk, path.join(dir, 'a'));
  t.ok(hurt.report.problems.length > 0);
  t.ok(hurt.lastIndex > 10 && hurt.lastIndex < 30, `usable up to ${hurt.lastIndex}`);
  const other = surviving(dir, 'b', { nodeId: 2, entries: 1 });
  t.match(planRecovery([hurt, other]), { quorumLeft: false, mayLose: true, lost: [3] });
  t.equal(planRecovery([hurt, other]).ranked[0], hurt, 'what is whole of it goes further all the same');

  fs.rmSync(path.join(dir, 'a', 'snapshots'), { recursive: true });
  t.throws(() => new SurvivingLog(disk, path.join(dir, 'a')), { code: 'LOG_DAMAGED' });
  fs.rmSync(path.join(dir, 'b', 'log'), { recursive: true });
  t.equal(new SurvivingLog(disk, path.join(dir, 'b')).lastIndex, 10, 'a snapshot alone is something');
});

t.test('directories that do not belong together', async (t) => {
  const dir = t.testdir();
  const one = surviving(dir, 'a', { nodeId: 1 });
  const twin = surviving(dir, 'b', { nodeId: 1 });
  t.throws(() => planRecovery([one, twin]), { code: 'BAD_OPTION', message: /node 1/ });
  const iron = surviving(dir, 'c', { nodeId: 2, clusterId: 'iron' });
  t.throws(() => planRecovery([one, iron]), { code: 'WRONG_CLUSTER' });
  t.throws(() => planRecovery([]), { code: 'BAD_OPTION' });
});

t.test('a directory that took the place of a lost one counts for no majority', async (t) => {
  const dir = t.testdir();
  const one = surviving(dir, 'a', { nodeId: 1 });
  makeDirectory(path.join(dir, 'b'), { nodeId: 2 });
  t.match(planRecovery([one, new SurvivingLog(disk, path.join(dir, 'b'))]), {
    quorumLeft: true,
    mayLose: false,
    replaced: [],
  });
  const met = new PeerFile(disk, path.join(dir, 'b'));
  met.remember(1, 'the directory that node 1 lost');
  const two = new SurvivingLog(disk, path.join(dir, 'b'));
  t.match(planRecovery([one, two]), { quorumLeft: false, mayLose: true, replaced: [1], lost: [1, 3] });

  // What the members have agreed on counts more than whom one of them met once.
  const members = one.config!.members.map((member) => ({ ...member, incarnation: one.identity.incarnation }));
  const agreed = Object.create(one, {
    config: { value: { ...one.config!, members } },
  }) as SurvivingLog;
  t.match(planRecovery([agreed, two]).replaced, []);
});

t.test('nothing is said to be safe that a majority could have held without the survivors', async (t) => {
  const base = surviving(t.testdir(), 'a', { nodeId: 1 });
  const sets = fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 7 });
  const joint = fc.oneof(fc.constant<number[]>([]), sets);
  fc.assert(
    fc.property(sets, joint, sets, (voters, outgoing, here) => {
      const survivors = here.map((nodeId) =>
        Object.create(base, {
          identity: { value: { ...base.identity, nodeId } },
          config: { value: { ...base.config, voters, outgoing } },
        }),
      ) as SurvivingLog[];
      const plan = planRecovery(survivors);
      // By brute force: some way to commit that touches no survivor. A change that they know of may have ended since, or
      // not have begun for the others.
      const all = [...new Set([...voters, ...outgoing])];
      const most = (of: number[], some: number[]): boolean =>
        of.length === 0 || of.filter((id) => some.includes(id)).length * 2 > of.length;
      const subsets = Array.from({ length: 2 ** all.length }, (_, mask) =>
        all.filter((_id, i) => (mask >> i) % 2 === 1),
      );
      const quorums = subsets.filter((some) => most(voters, some) && most(outgoing, some));
      const before = outgoing.length > 0 ? subsets.filter((some) => most(outgoing, some)) : [];
      const after = subsets.filter((some) => most(voters, some));
      const ways = [...before, ...quorums, ...after];
      const loses = ways.some((some) => !some.some((id) => here.includes(id)));
      const left = quorums.some((some) => some.every((id) => here.includes(id)));
      return plan.mayLose === loses && plan.quorumLeft === left;
    }),
    { seed: 1, numRuns: 300 },
  );
});
