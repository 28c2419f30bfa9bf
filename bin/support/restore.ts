import path from 'node:path';
import { bootstrapOf } from '../../lib/node/options.ts';
import { openBackup } from './backup-file.ts';
import { ExitCode } from './exit-codes.ts';
import { planCluster, writeCluster } from './new-cluster.ts';
import type { NewClusterOptions } from './new-cluster-options.ts';

/** `cordwood restore FILE`. Resolves to the exit status. */
export async function restore(given: string, options: NewClusterOptions): Promise<number> {
  const { backup } = await openBackup(path.resolve(given));
  try {
    const { index, term } = backup.meta;
    const { clusterId } = backup.origin;
    const cluster = planCluster(options, ['restore', clusterId, String(index), backup.digest]);
    // The configuration of the backup names nodes of the old cluster: the new one begins with its own.
    const config = bootstrapOf(cluster.members);
    const beginning = {
      hardState: { term, vote: 0 },
      snapshot: { meta: { index, term, config, configIndex: index }, content: () => backup.content() },
      entries: () => [],
    };
    writeCluster(cluster, `a backup of cluster ${clusterId} at entry ${index}`, beginning, options);
    return ExitCode.ok;
  } finally {
    backup.close();
  }
}
