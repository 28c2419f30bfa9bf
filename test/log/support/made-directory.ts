import { NodeDisk } from '../../../lib/log/node-disk.ts';
import { writeNewDirectory } from '../../../lib/log/new-directory.ts';
import { config, entry } from '../helpers.ts';

export interface Made {
  readonly nodeId?: number;
  readonly clusterId?: string;
  /** Entries behind the snapshot, which stands at entry 10. */
  readonly entries?: number;
  readonly term?: number;
}

/** A data directory on the machine's disk with a snapshot, entries, terms and a vote in it. */
export function makeDirectory(path: string, made: Made = {}): void {
  const { nodeId = 1, clusterId = 'wood', entries = 20, term = 3 } = made;
  const members = config.members;
  writeNewDirectory(
    new NodeDisk(),
    path,
    { clusterId, nodeId, members },
    {
      hardState: { term, vote: 2 },
      snapshot: {
        meta: { index: 10, term: 2, config, configIndex: 0 },
        content: () => [new Uint8Array(300_000).fill(7)],
      },
      *entries() {
        for (let index = 11; index <= 10 + entries; index++)
          yield { first: index, last: index, bytes: entry(index, term, index, 50).bytes };
      },
    },
  );
}
