import t from 'tap';
import { EntryKind, type SnapshotMeta } from '../../lib/core/types.ts';
import { Trio } from './trio.ts';

/** Node 2 as a follower of node 1 in term 2, with five entries of term 1 that nobody else has. */
function behind(): { trio: Trio; meta: SnapshotMeta } {
  const trio = new Trio(false);
  trio.terms.set(2, { term: 2, vote: 0 });
  const termRuns = [{ first: 1, term: 1 }];
  const core = trio.start(2, false, { lastIndex: 5, termRuns, sizes: [40, 40, 40, 40, 40] });
  core.snapshotTraffic(1, 2);
  core.drain();
  return { trio, meta: { index: 3, term: 2, config: core.config, configIndex: 0 } };
}

t.test('a candidate that installs a snapshot is none any more: its votes were for another log', async (t) => {
  const { trio, meta } = behind();
  const core = trio.core(2);
  core.receive(1, { kind: 'timeoutNow', term: 2 });
  trio.turn(2);
  t.equal(core.role, 'candidate');
  t.ok(core.beginInstall(meta));
  core.receive(3, { kind: 'voteResponse', term: 3, pre: false, granted: true });
  t.equal(core.role, 'follower');
  core.snapshotInstalled();
  core.receive(1, { kind: 'voteResponse', term: 3, pre: false, granted: true });
  t.equal(core.role, 'follower');
});

t.test('writes of a log that a snapshot has replaced attest to nothing', async (t) => {
  const { trio, meta } = behind();
  const core = trio.core(2);
  const write = (prevIndex: number, prevTerm: number, last: number): number => {
    const entries = Array.from({ length: last - prevIndex }, () => ({
      term: 2,
      kind: EntryKind.batch,
      sizeBytes: 40,
    }));
    core.receive(1, { kind: 'append', term: 2, prevIndex, prevTerm, last, commit: 0, entries });
    return core.drain().persist!.ticket;
  };
  core.receive(1, { kind: 'append', term: 2, prevIndex: 5, prevTerm: 1, last: 5, commit: 0, entries: [] });
  const before = write(5, 1, 8);
  t.ok(core.beginInstall({ ...meta, index: 7, term: 3 }));
  core.snapshotInstalled();
  const { persist } = core.drain();
  t.match(persist, { resetTo: { index: 7, term: 3 }, first: 0 });
  core.durable(before);
  t.equal(core.durableIndex, 7, 'entry 8 is not there any more');
});

t.test('nor is anything of it still written', async (t) => {
  const { trio, meta } = behind();
  const core = trio.core(2);
  const entries = [{ term: 2, kind: EntryKind.batch, sizeBytes: 40 }];
  core.receive(1, { kind: 'append', term: 2, prevIndex: 5, prevTerm: 1, last: 6, commit: 0, entries });
  t.ok(core.beginInstall(meta));
  core.snapshotInstalled();
  t.match(core.drain().persist, { resetTo: { index: 3 }, first: 0, last: 0 });
});

t.test('what stands behind a snapshot is kept, and is not known to be the leader’s', async (t) => {
  const { trio, meta } = behind();
  const core = trio.core(2);
  t.ok(core.beginInstall({ ...meta, term: 1 }));
  core.snapshotInstalled();
  t.equal(core.lastIndex, 5);
  core.receive(1, { kind: 'heartbeat', term: 2, commit: 5, readSeq: 0, sentAtMs: 0 });
  t.equal(core.commitIndex, 3);
  const ack = core.drain().messages.find(({ message }) => message.kind === 'appendAck');
  t.match(ack, { to: 1, message: { match: 3 } });
});
