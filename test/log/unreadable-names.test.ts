import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MemoryDisk } from '../../lib/log/memory-disk.ts';
import { NodeDisk } from '../../lib/log/node-disk.ts';
import { PeerFile } from '../../lib/log/peer-file.ts';
import { VoteFile } from '../../lib/log/vote-file.ts';

// Where an inode has rotted, the disk fails before it is known whether there is a file.

t.test('what cannot be looked up is not taken for missing', (t) => {
  const directory = t.testdir();
  const disk = new NodeDisk();
  const at = (name: string): string => join(directory, name);
  writeFileSync(at('file'), '');
  mkdirSync(at('directory'));
  symlinkSync(at('nothing'), at('dangling'));
  symlinkSync(at('circle'), at('circle'));
  t.equal(disk.exists(at('file')), true);
  t.equal(disk.exists(at('directory')), true);
  for (const name of ['nothing', 'file/below', 'nothing/below', 'dangling'])
    t.equal(disk.exists(at(name)), false, name);
  t.throws(() => disk.exists(at('circle')), { code: 'ELOOP' });
  t.end();
});

/** A disk that knows neither what `path` is nor what is in it. */
class Unreadable extends MemoryDisk {
  path = '';

  override exists(path: string): boolean {
    if (path === this.path) throw Object.assign(new Error('i/o error'), { code: 'EIO' });
    return super.exists(path);
  }
}

t.test('peers that cannot be looked up are damage, and not nobody', (t) => {
  const disk = new Unreadable();
  disk.mkdir('data');
  new PeerFile(disk, 'data').remember(2, 'two');
  disk.path = 'data/peers';
  t.match(new PeerFile(disk, 'data').damage, /cannot be read \(EIO\)/);
  t.end();
});

t.test('nor can votes be: the node is told which file, and starts with none', (t) => {
  const disk = new Unreadable();
  disk.mkdir('data');
  const record = { hardState: { term: 3, vote: 1 }, lastBlock: 0, quarantine: null };
  VoteFile.create(disk, 'data', 7, record).close();
  t.match(VoteFile.open(disk, 'data', 7), { record });
  disk.path = 'data/vote';
  t.match(VoteFile.open(disk, 'data', 7), /cannot read it/);
  disk.path = '';
  disk.onCall = ({ operation, path }) => {
    if (operation === 'open' && path === 'data/vote')
      throw Object.assign(new Error('i/o error'), { code: 'EIO' });
    return undefined;
  };
  t.match(VoteFile.open(disk, 'data', 7), /cannot read it/);
  t.end();
});
