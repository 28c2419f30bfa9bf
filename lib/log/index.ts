/** Bytes that survive: the log, snapshots, and the directory they are in. */
export { DataDirectory } from './data-directory.ts';
export type { DataDirectoryOptions } from './data-directory.ts';
export { DirectLogStore } from './direct-log-store.ts';
export type { DirectLogOptions, DirectStep } from './direct-log-store.ts';
export type { Disk } from './disk.ts';
export type { Identity } from './identity.ts';
export { defaultLogSizes } from './log-options.ts';
export type { LogSizes } from './log-options.ts';
export { MemoryDisk } from './memory-disk.ts';
export type { DiskCall } from './memory-disk.ts';
export { NodeDisk } from './node-disk.ts';
export { PeerFile } from './peer-file.ts';
export { openLogStore } from './open-log-store.ts';
export type { LogStoreOptions } from './open-log-store.ts';
export { encodeRecord, verifyRecord } from './record.ts';
export type * from './log-store.ts';
