import { CordwoodError } from '../../protocol/errors.ts';

/** What the system says when the path that was given is to blame, and not the disk. */
export const PATH_FAULTS: readonly string[] = [
  'EACCES',
  'EEXIST',
  'EISDIR',
  'ELOOP',
  'ENAMETOOLONG',
  'ENOENT',
  'ENOTDIR',
  'EPERM',
  'EROFS',
];

/** What the disk answered, as an error of this package: `DISK_FULL` where it has no room, otherwise `LOG_FAILED`. */
export function diskError(error: unknown): CordwoodError {
  if (CordwoodError.is(error)) return error;
  const code = diskErrorCode(error);
  const message = error instanceof Error ? error.message : String(error);
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new CordwoodError(full ? 'DISK_FULL' : 'LOG_FAILED', `the disk failed: ${message}`, {
    cause: error,
  });
}

/** Whether there was no room: on the disk, or in what its owner may use of it. */
export function isDiskFull(error: unknown): boolean {
  return diskError(error).code === 'DISK_FULL';
}

/** Whether all files that the process (EMFILE) or the machine (ENFILE) may have open are in use. */
export function isOutOfFiles(error: unknown): boolean {
  const code = diskErrorCode(error);
  return code === 'EMFILE' || code === 'ENFILE';
}

/** Why something at rest is as good as rotten though nobody has seen its bytes. */
export const UNREADABLE = 'the disk cannot read it (EIO)';

/** As `diskError`, of reading `what`: `LOG_DAMAGED` if that cannot be read. */
export function readError(error: unknown, what: string): CordwoodError {
  if (diskErrorCode(error) !== 'EIO') return diskError(error);
  return new CordwoodError('LOG_DAMAGED', `${what}: ${UNREADABLE}`, { cause: error });
}

/** The operating system's code (`ENOSPC`, `EIO`, …), where there is one. */
export function diskErrorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
