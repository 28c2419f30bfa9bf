// MIT 6.5840, lab 3D: snapshots. Own words, own core.
import t from 'tap';
import type { CoreNode } from '../../lib/testing/core-node.ts';
import type { Weather } from '../../lib/testing/weather.ts';
import { Lab, unreliable } from './support/lab.ts';

/** Every node takes a snapshot and drops the whole log behind it. */
function snapshotAll(lab: Lab): void {
  for (const node of lab.nodes.filter((n) => n.up)) node.act(() => node.takeSnapshot(0));
  lab.run(50);
}

t.test('SnapshotBasic: logs are cut behind snapshots while entries keep coming', async (t) => {
  const lab = new Lab(3);
  for (let round = 0; round < 10; round++) {
    lab.agree(10);
    snapshotAll(lab);
  }
  for (const { core } of lab.nodes) t.ok(core.lastIndex - core.prevIndex < 20, 'the log stays short');
});

/** A node is away, cut off or crashed, while the others go on and drop what it would need. */
function install(weather: Partial<Weather>, crashes: boolean): Lab {
  const lab = new Lab(3, weather);
  lab.agree();
  for (let round = 0; round < 8; round++) {
    const leader = lab.leader();
    const victim: CoreNode = round % 3 === 1 ? leader : lab.nodes.find((n) => n !== leader)!;
    if (crashes) lab.crash(victim.id);
    else lab.isolate(victim.id);
    lab.agree(15);
    for (const node of lab.connected) node.act(() => node.takeSnapshot(0));
    lab.run(50);
    const missing = lab.connected.every((n) => n.core.prevIndex > victim.core.lastIndex);
    if (!missing) throw new Error('the others still have everything: nothing is shown');
    if (crashes) lab.restart(victim.id);
    else lab.rejoin(victim.id);
    lab.agree();
    if (victim.applied < lab.committed) throw new Error('it has not caught up');
  }
  return lab;
}

t.test('SnapshotInstall: a node that was cut off gets what is not in any log any more', async (t) => {
  t.ok(install({}, false).sent.some(({ text }) => text.startsWith('snapshot ')));
});

t.test('SnapshotInstallUnreliable: over a bad network', async (t) => {
  t.ok(install(unreliable, false).sent.some(({ text }) => text.startsWith('snapshot ')));
});

t.test('SnapshotInstallCrash: a node that had crashed', async (t) => {
  t.ok(install({}, true).sent.some(({ text }) => text.startsWith('snapshot ')));
});

t.test('SnapshotInstallUnCrash: a node that had crashed, over a bad network', async (t) => {
  t.ok(install(unreliable, true).sent.some(({ text }) => text.startsWith('snapshot ')));
});

t.test('SnapshotAllCrash: all crash at once, with snapshots and without', async (t) => {
  const lab = new Lab(3);
  for (let round = 0; round < 5; round++) {
    const before = lab.agree(round % 2 === 0 ? 12 : 2);
    if (round % 2 === 0) snapshotAll(lab);
    lab.crash(1, 2, 3);
    lab.restart(1, 2, 3);
    t.ok(lab.agree() > before);
  }
});

t.test('SnapshotInit: nodes whose whole state is in the snapshot start, and go on', async (t) => {
  const lab = new Lab(3);
  const last = lab.agree(20);
  snapshotAll(lab);
  for (const { core } of lab.nodes) t.equal(core.prevIndex, last, 'no entry is left');
  lab.crash(1, 2, 3);
  lab.restart(1, 2, 3);
  // Once more before anything is new: the snapshot must have survived the start.
  lab.crash(1, 2, 3);
  lab.restart(1, 2, 3);
  t.ok(lab.agree() > last);
  for (const node of lab.nodes) t.equal(node.applied, lab.committed);
});
