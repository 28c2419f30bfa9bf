import { CordwoodError } from '../../protocol/errors.ts';
import type { Disk } from './disk.ts';
import { readFully, untilRoom, writeFully } from './disk.ts';
import type { RecoveredLog } from './log-recovery.ts';
import { Reserve } from './reserve.ts';

/**
 * Makes durable what recovery found. After the death of a process alone, the last block and the last names may be in
 * the kernel's memory only; and if an fsync failed, the kernel may hold the block as clean though the disk never
 * took it. So the block is written once more: at most one can be in doubt, because each is synced before the next.
 *
 * A file system that copies on write needs room even for that, and a start waits for nobody: it has the reserve's.
 */
export function settleTail(disk: Disk, directory: string, recovered: RecoveredLog): void {
  const segment = recovered.image.current;
  const { lastBlockOffset } = recovered;
  const fd = disk.open(segment.path, 'write');
  try {
    const bytes = new Uint8Array(segment.writeOffset - lastBlockOffset);
    if (readFully(disk, fd, bytes, 0, bytes.length, lastBlockOffset) !== bytes.length) {
      throw new CordwoodError('LOG_FAILED', `${segment.path} became shorter while it was read`);
    }
    untilRoom(
      () => writeFully(disk, fd, [bytes], lastBlockOffset),
      () => new Reserve(disk, directory, 0).release(),
    );
    disk.datasync(fd);
  } finally {
    disk.close(fd);
  }
  disk.syncDirectory(directory);
}
