import fs from 'node:fs';
import { MessagePort } from 'node:worker_threads';
import t from 'tap';
import '../support/plain-start.ts';
import { SnapshotThread } from '../../lib/log/thread-snapshots.ts';
import { config } from './helpers.ts';

const metaOf = (index: number) => ({ index, term: 1, config, configIndex: 1 });

t.test('a snapshot thread that dies fails the calls it had, and the next call starts another', async (t) => {
  const path = t.testdir();
  const sent = t.captureFn(MessagePort.prototype.postMessage);
  t.intercept(MessagePort.prototype, 'postMessage', { value: sent });
  const thread = new SnapshotThread(path, 7);
  thread.recovered(null);
  const first = await thread.call({ kind: 'create', meta: metaOf(1) });
  const done = await thread.call({ kind: 'commit', handle: first.handle!, expectedDigest: undefined });
  const { handle = 0 } = await thread.call({ kind: 'create', meta: metaOf(2) });
  t.same(fs.readdirSync(path).filter((name) => name.endsWith('.tmp')).length, 1);

  const port = sent.calls.find(({ args }) => args[0]?.kind === 'call')?.receiver as MessagePort;
  // Nothing it can take.
  port.postMessage(null);
  await t.rejects(thread.call({ kind: 'write', handle, content: new Uint8Array(9) }), { code: 'LOG_FAILED' });

  const { handle: reader = 0 } = await thread.call({ kind: 'open', meta: metaOf(1) });
  t.same(
    fs.readdirSync(path).filter((name) => name.endsWith('.tmp')),
    [],
    'what it left unfinished is gone',
  );
  for (const old of [first.handle!, handle]) {
    const content = new Uint8Array(9);
    await t.rejects(thread.call({ kind: 'write', handle: old, content }), { code: 'CLOSED' });
    await t.rejects(thread.call({ kind: 'read', handle: old, offset: 0, maxBytes: 1 }), { code: 'CLOSED' });
    t.same(await thread.call({ kind: 'abort', handle: old }), {});
    t.same(await thread.call({ kind: 'release', handle: old }), {});
  }
  await thread.call({ kind: 'release', handle: reader });
  t.equal(fs.readdirSync(path).length, 1, 'what it has committed is still there');
  t.equal(done.snapshot?.meta.index, 1);
  await thread.close();
  await t.rejects(thread.call({ kind: 'create', meta: metaOf(3) }), { code: 'CLOSED' });
});
