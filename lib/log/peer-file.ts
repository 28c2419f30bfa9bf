import { crc32 } from 'node:zlib';
import { CordwoodError } from '../../protocol/errors.ts';
import type { NodeId } from '../core/types.ts';
import { diskErrorCode } from './disk-error.ts';
import type { Disk } from './disk.ts';
import { readSmallFile, replaceSmallFile } from './disk.ts';

export const PEER_FILE = 'peers';
const VERSION = 1;
const MAX_BYTES = 8 << 20;

/**
 * Whom a node has met: the incarnation of every node id, for good. Kept in the file `peers` of its data directory,
 * one line of JSON and the CRC-32 of that line in hex, replaced as a whole.
 *
 * Written once for each peer in a node's life, so it is written in place: what is remembered is durable when
 * `remember` returns, and only then may the peer be trusted.
 */
export class PeerFile {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #known: Map<NodeId, string>;

  /** What is wrong with the file; null: nothing. Then nobody is known, and whoever is met next is believed. */
  readonly damage: string | null;

  /** @throws CordwoodError `INCOMPATIBLE_VERSION` */
  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
    const found = read(disk, directory);
    this.damage = typeof found === 'string' ? found : null;
    this.#known = typeof found === 'string' ? new Map<NodeId, string>() : found;
  }

  /** Everyone met, by id. */
  get known(): readonly (readonly [id: NodeId, incarnation: string])[] {
    return [...this.#known].sort(([a], [b]) => a - b);
  }

  /** The incarnation met under this id; undefined if nobody was. */
  incarnationOf(id: NodeId): string | undefined {
    return this.#known.get(id);
  }

  /** Durable when it returns. Throws what the disk throws; then nothing is remembered. */
  remember(id: NodeId, incarnation: string): void {
    const next = new Map(this.#known).set(id, incarnation);
    const line = JSON.stringify({ format: VERSION, peers: [...next].sort(([a], [b]) => a - b) });
    const bytes = Buffer.from(`${line}\n${checksum(line)}\n`);
    replaceSmallFile(this.#disk, this.#directory, PEER_FILE, bytes);
    this.#known.set(id, incarnation);
  }
}

function read(disk: Disk, directory: string): Map<NodeId, string> | string {
  const file = `${directory}/${PEER_FILE}`;
  let text: string;
  try {
    if (!disk.exists(file)) return new Map();
    text = Buffer.from(readSmallFile(disk, file, MAX_BYTES)).toString('utf8');
  } catch (error) {
    const code = diskErrorCode(error);
    if (code !== 'EIO' && code !== 'EFBIG') throw error;
    return `${file} cannot be read (${code})`;
  }
  const [line = '', sum = '', ...rest] = text.split('\n');
  if (checksum(line) !== sum || rest.join('') !== '') return `${file} does not verify`;
  const { format, peers } = JSON.parse(line) as { format: unknown; peers: [NodeId, string][] };
  if (format !== VERSION)
    throw new CordwoodError('INCOMPATIBLE_VERSION', `${file} has format ${String(format)}, not known here`);
  return new Map(peers);
}

function checksum(line: string): string {
  return crc32(line).toString(16).padStart(8, '0');
}
