import { createHash } from 'node:crypto';
import path from 'node:path';
import { writeNewDirectory, checkEmpty } from '../../lib/log/new-directory.ts';
import type { Beginning } from '../../lib/log/new-directory.ts';
import { NodeDisk } from '../../lib/log/node-disk.ts';
import type { Member } from '../../lib/core/types.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { addressList } from './addresses.ts';
import { oneLine, UsageError } from './exit-codes.ts';
import type { NewClusterOptions } from './new-cluster-options.ts';
import { printLine } from './print.ts';

/** A cluster that does not run yet. */
export interface NewCluster {
  readonly clusterId: string;
  readonly members: readonly Member[];
  /** The directories to write, none of which holds anything yet. */
  readonly places: readonly { readonly id: number; readonly directory: string }[];
}

/**
 * Plans the directories. `source` names what the cluster is made of: whoever makes it of the same, at the same
 * addresses, with the same `--new-id`, gets the same cluster id, on whichever machine.
 */
export function planCluster(options: NewClusterOptions, source: readonly string[]): NewCluster {
  if (options.cluster === undefined || options.data === undefined)
    throw new UsageError('--cluster (the new nodes) and --data (where to) are needed');
  const addresses = addressList(options.cluster, '--cluster');
  if (new Set(addresses).size !== addresses.length) throw new UsageError('--cluster names an address twice');
  if (options.id !== undefined && options.id > addresses.length)
    throw new UsageError(`--id ${options.id}: --cluster names ${addresses.length} nodes`);
  const members = addresses.map((peerAddress, i) => ({ id: i + 1, peerAddress }));
  const text = JSON.stringify([options.newId ?? '', source, addresses]);
  const clusterId = createHash('sha256').update(text).digest('hex').slice(0, 32);
  const base = path.resolve(options.data);
  const { id: only } = options;
  const places =
    only === undefined
      ? members.map(({ id }) => ({ id, directory: path.join(base, String(id)) }))
      : [{ id: only, directory: base }];
  checkPlaces(places);
  return { clusterId, members, places };
}

function checkPlaces(places: NewCluster['places']): void {
  try {
    for (const { directory } of places) checkEmpty(directory);
  } catch (error) {
    if (places.length === 1 || !CordwoodError.is(error)) throw error;
    const advice =
      'if an earlier try was broken off, make those that are missing one by one: --id N --data DIR/N';
    throw new CordwoodError(error.code, `${error.message}; ${advice}`, { cause: error });
  }
}

/** Writes all directories, and says what to do with them. */
export function writeCluster(
  cluster: NewCluster,
  origin: string,
  beginning: Beginning,
  options: NewClusterOptions,
): void {
  const { clusterId, members, places } = cluster;
  const disk = new NodeDisk();
  const written = places.map(({ id, directory }) => {
    disk.mkdir(path.dirname(directory));
    const whose = { clusterId, nodeId: id, members, origin };
    const { incarnation } = writeNewDirectory(disk, directory, whose, beginning);
    return { id, directory, incarnation };
  });
  if (options.json === true) {
    printLine(JSON.stringify({ clusterId, origin, directories: written }));
    return;
  }
  printLine(`made cluster ${clusterId} of ${oneLine(origin)}`);
  const list = members.map(({ peerAddress }) => peerAddress).join(',');
  for (const { id, directory } of written) {
    printLine(`node ${id}: ${oneLine(directory)}`);
    printLine(`  cordwood start --id ${id} --cluster ${list} --port PORT --data ${oneLine(directory)}`);
  }
  if (written.length < members.length)
    printLine('The other nodes: the same command there, each with its own --id.');
  printLine('Clients of the old cluster must be started anew: their sessions mean nothing to this one.');
}
