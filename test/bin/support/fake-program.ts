/*
 * Stands in for a node's process under a supervisor: speaks its messages and does nothing else. `FAKE_MODE` says how
 * it behaves: `fail` ends with a reason, `crash` without one, `late` knows no leader until it is asked how it is,
 * `mute` never says that it serves.
 */
import type { FromNode, ToNode } from '../../../bin/local/messages.ts';

const id = Number(process.argv[process.argv.indexOf('--id') + 1]);
const mode =
  process.env['FAKE_MODE'] === undefined || process.env['FAKE_NODE'] !== String(id)
    ? ''
    : process.env['FAKE_MODE'];
const tell = (message: FromNode): void => void process.send!(message);

process.on('message', (message: ToNode) => {
  if (message.type === 'stop') {
    console.error(`stop transfer=${message.transfer}`);
    process.exit(0);
  }
  const status = { id, role: id === 1 ? 'leader' : 'follower', term: 7, appliedIndex: 42, quarantine: null };
  tell({ type: 'status', seq: message.seq, status } as unknown as FromNode);
  if (mode === 'late') tell({ type: 'leader', leader: 1, term: 7 });
});
process.on('disconnect', () => process.exit(0));

if (mode === 'fail') {
  tell({ type: 'failed', message: 'cordwood: DIRECTORY_LOCKED somebody is here (not_applied)' });
  setImmediate(() => process.exit(5));
} else if (mode === 'crash') {
  process.exit(9);
} else {
  console.error(process.argv.slice(2).join(' '));
  if (mode !== 'mute') tell({ type: 'ready' });
  if (mode === '') tell({ type: 'leader', leader: 1, term: 7 });
}
