import { isUtf8 } from 'node:buffer';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { Limits } from '../../protocol/constants.ts';
import { ChunkReader, damaged } from './chunk-reader.ts';
import { trailerBytes, writeTrailer } from './item-trailer.ts';
import type { LiveView } from './live-views.ts';
import { msgpackEnd, TRUNCATED } from './msgpack.ts';
import type { SlabStack, StackCapture } from './slab-stack.ts';
import { StackTable } from './stack-table.ts';
import type { SnapshotView } from './state-machine.ts';

/**
 * The stacks in a snapshot:
 * ```
 * | format u32 | stacks u64 | nextId u64 |  then for each stack
 * | id u64 | size u64 | streamBytes u64 | nameBytes u32 | name … | stream … |
 * ```
 * The stream is the stack's own (slab-stack.ts draws it), without regard to slabs. Stacks come in the order of their
 * ids, except that those which changed while the snapshot was written come last.
 */
const FORMAT = 1;
const CHUNK_BYTES = 256 * 1024;
const STACK_HEADER_BYTES = 28;

export class StackSnapshot implements SnapshotView {
  readonly #view: LiveView<SlabStack, StackCapture>;
  readonly #table: StackTable;
  readonly #nextId: number;

  constructor(table: StackTable) {
    this.#table = table;
    this.#nextId = table.nextId;
    this.#view = table.view();
  }

  *chunks(): Generator<Uint8Array, void, undefined> {
    const out = new ByteWriter(CHUNK_BYTES);
    out.u32(FORMAT).u64(this.#view.count).u64(this.#nextId);
    for (const stack of this.#view.read()) {
      const { name } = stack;
      if (out.position + STACK_HEADER_BYTES + name.length > CHUNK_BYTES) yield* this.#flush(out);
      out.u64(stack.id).u64(stack.size).u64(stack.bytes).u32(name.length).bytes(name);
      for (const piece of this.#table.streamOf(stack)) {
        if (out.position + piece.length > CHUNK_BYTES) yield* this.#flush(out);
        if (piece.length === CHUNK_BYTES) yield piece;
        else out.bytes(piece);
      }
    }
    yield* this.#flush(out);
  }

  release(): void {
    this.#view.release();
  }

  *#flush(out: ByteWriter): Generator<Uint8Array, void, undefined> {
    if (out.position === 0) return;
    yield out.buffer.subarray(0, out.position);
    out.clear();
  }
}

/** Builds stacks from what `StackSnapshot` wrote. Every item is checked; throws `SNAPSHOT_DAMAGED`. */
export async function readStacks(chunks: AsyncIterable<Uint8Array>): Promise<StackTable> {
  const reader = new ChunkReader(chunks);
  try {
    const format = await reader.u32();
    if (format !== FORMAT) throw damaged(`format ${format} of the stacks is unknown`);
    const count = await reader.u64();
    const nextId = await reader.u64();
    const table = new StackTable();
    for (let i = 0; i < count; i++) await readStack(reader, table, nextId);
    if (!(await reader.atEnd())) throw damaged('bytes behind the last stack');
    table.finishRestore(nextId);
    return table;
  } finally {
    await reader.close();
  }
}

async function readStack(reader: ChunkReader, table: StackTable, nextId: number): Promise<void> {
  const id = await reader.u64();
  const size = await reader.u64();
  const bytes = await reader.u64();
  const nameBytes = await reader.u32();
  if (id < 1 || id >= nextId || table.has(id)) throw damaged('the number of a stack is wrong');
  if (nameBytes < 1 || nameBytes > Limits.maxStackNameBytes) throw damaged('the name of a stack is too long');
  await reader.fill(nameBytes);
  const nameStart = reader.at;
  reader.at += nameBytes;
  if (!isUtf8(reader.buffer.subarray(nameStart, reader.at)))
    throw damaged('the name of a stack is not UTF-8');
  if (table.find(reader.buffer, nameStart, reader.at) !== undefined)
    throw damaged('two stacks have the same name');
  const stack = table.restore(reader.buffer, nameStart, reader.at, id);
  await readItems(reader, stack, bytes);
  if (stack.size !== size) throw damaged('a stack has another size than it says');
  table.bytes += bytes;
}

async function readItems(reader: ChunkReader, stack: SlabStack, bytes: number): Promise<void> {
  let rest = bytes;
  while (rest > 0) {
    if (reader.available === 0) await reader.fill(1);
    const end = Math.min(reader.end, reader.at + rest);
    const start = reader.at;
    let at = start;
    let items = 0;
    while (at < end) {
      const after = itemEnd(reader.buffer, at, end);
      if (after === TRUNCATED) break;
      at = after;
      items++;
    }
    stack.appendStream(reader.buffer, start, at, items);
    rest -= at - start;
    reader.at = at;
    const partial = end - at;
    if (partial > 0) {
      if (partial === rest) throw damaged('an item is cut off');
      // Twice as much each time: an item over many chunks is looked at a few times, not once for each of them.
      await reader.fill(Math.min(rest, partial * 2));
    }
  }
}

const expected = Buffer.alloc(8);

function itemEnd(buffer: Uint8Array, at: number, end: number): number {
  const after = msgpackEnd(buffer, at, end, Limits.maxValueDepth);
  if (after === TRUNCATED) return TRUNCATED;
  if (after < 0) throw damaged('an item is no msgpack value');
  const length = after - at;
  const size = trailerBytes(length);
  if (after + size > end) return TRUNCATED;
  writeTrailer(expected, length);
  for (let i = 0; i < size; i++)
    if (buffer[after + i] !== expected[i]) throw damaged('the length of an item is wrong');
  return after + size;
}
