import type { DataDirectory } from './data-directory.ts';
import { defaultLogSizes } from './log-options.ts';
import type { LogSizes } from './log-options.ts';
import type { LogEvents, LogStore } from './log-store.ts';
import type { RecoveryProgress } from './recovery-progress.ts';
import { ThreadLogStore } from './thread-log-store.ts';

export interface LogStoreOptions {
  readonly directory: DataDirectory;
  readonly events: LogEvents;
  readonly sizes?: Partial<LogSizes>;
  /** Told now and then while the directory is read. */
  readonly onProgress?: ((progress: RecoveryProgress) => void) | undefined;
}

/**
 * Starts the log thread and resolves when the directory has been recovered. Damage is no error: see
 * `recovery.damage`. Rejects with `LOG_DAMAGED` if the directory holds no log at all, or with what the disk says.
 */
export function openLogStore(options: LogStoreOptions): Promise<LogStore> {
  return ThreadLogStore.open({
    path: options.directory.path,
    owner: options.directory.owner,
    sizes: { ...defaultLogSizes, ...options.sizes },
    events: options.events,
    onProgress: options.onProgress,
  });
}
