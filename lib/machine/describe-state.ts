import { ChunkReader } from './chunk-reader.ts';
import { readBlocks, readRecord } from './snapshot-stream.ts';
import { decodeHead, MAX_HEAD_BYTES } from './state-snapshot.ts';

/** What a snapshot says of the state in it. */
export interface StateDescription {
  readonly machine: string;
  readonly version: number;
  readonly appliedIndex: number;
  /** The cluster's clock. */
  readonly timeMs: number;
  readonly sessions: number;
  /** Idempotency keys whose answers are kept. */
  readonly keys: number;
}

/**
 * Reads the state in `chunks` to its end, verifies each of its checksums, and says what it is, whatever machine it
 * belongs to. Throws `SNAPSHOT_DAMAGED`.
 */
export async function describeState(chunks: AsyncIterable<Uint8Array>): Promise<StateDescription> {
  const reader = new ChunkReader(readBlocks(chunks));
  try {
    const { start, end } = await readRecord(reader, MAX_HEAD_BYTES);
    const { machine, version, appliedIndex, timeMs, sessions, keyed } = decodeHead(reader.buffer, start, end);
    while (!(await reader.atEnd())) reader.at = reader.end;
    return { machine, version, appliedIndex, timeMs, sessions, keys: keyed };
  } finally {
    await reader.close();
  }
}
