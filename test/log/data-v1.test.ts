// Directories and a backup that an earlier version wrote, as they are in the repository: they open, serve what was in
// them, and remember what ran once.
import { cpSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { inspectDirectory } from '../../lib/log/inspect-directory.ts';
import { NodeDisk } from '../../lib/log/node-disk.ts';
import { StackOp, Status } from '../../protocol/constants.ts';
import { ROOT } from '../docs/support/fences.ts';
import { cordwood } from '../e2e/support/run-command.ts';
import { freePorts } from '../e2e/support/ports.ts';
import { Caller } from '../node/support/caller.ts';
import { repeat, STACKS, startFixture } from './support/data-story.ts';

const FIXTURE = path.join(ROOT, 'test', 'fixtures', 'data-v1');

async function check(t: Test, dir: string): Promise<void> {
  const [port] = await freePorts(1);
  const node = await startFixture(dir, `127.0.0.1:${port}`);
  try {
    const caller = new Caller(node);
    const listed = await caller.query(StackOp.list, '');
    t.same(
      new Map(listed.value as [string, number][]),
      new Map(
        Object.entries(STACKS).map(([name, values]) => [name, name.startsWith('a name') ? 1 : values.length]),
      ),
    );
    t.same(await repeat(caller), [Status.ok, 2, Status.ok, 3], 'the answers of then');
    for (const [name, values] of Object.entries(STACKS)) {
      for (const value of values.toReversed()) {
        const popped = await caller.command(StackOp.pop, name);
        t.same(popped, { status: Status.ok, value }, name);
      }
      t.same((await caller.command(StackOp.pop, name)).status, Status.empty, `${name} has nothing else`);
    }
    t.same((await caller.command(StackOp.push, 'new', 1)).status, Status.ok);
  } finally {
    await node.close();
  }
}

for (const variant of ['clean', 'killed']) {
  t.test(`a directory of version 1, ${variant}`, async (t) => {
    const dir = path.join(t.testdir(), 'data');
    cpSync(path.join(FIXTURE, variant), dir, { recursive: true });
    const report = inspectDirectory(new NodeDisk(), dir);
    t.same(report.problems, []);
    t.equal(report.log.clean, variant === 'clean');
    t.ok(report.snapshots.length === 1 && report.log.lastIndex > report.snapshots[0]!.snapshot!.meta.index);
    await check(t, dir);
    t.same(inspectDirectory(new NodeDisk(), dir).problems, []);
  });
}

t.test('a backup of version 1', async (t) => {
  const dir = path.join(t.testdir(), 'data');
  const file = path.join(FIXTURE, 'stacks.backup');
  const made = await cordwood(['restore', file, '--data', dir, '--id', '1', '--cluster', '127.0.0.1:12379']);
  t.equal(made.code, 0, made.stderr);
  await check(t, dir);
});
