import { ByteWriter } from '../../protocol/byte-writer.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { ChunkReader, damaged } from './chunk-reader.ts';
import type { KeyedAnswer } from './keyed-answers.ts';
import { KeyedAnswers } from './keyed-answers.ts';
import type { LiveView } from './live-views.ts';
import { FieldReader, readKeyedAnswer, readSession, writeKeyedAnswer } from './session-codec.ts';
import { SessionTable } from './session-table.ts';
import type { Session } from './session.ts';
import { readBlocks, readRecord, writeBlocks } from './snapshot-stream.ts';
import type { SnapshotView, StateMachine } from './state-machine.ts';

/**
 * A whole snapshot, inside the blocks that `snapshot-stream.ts` draws:
 * ```
 * | record: head | record: session … | record: keyed answer … | the machine's own bytes … |
 * record: | bytes u32 | … |
 * head:   | "CWST" | format u32 | appliedIndex u64 | timeMs u64 | sessions u64 | nextSession u64 | useOrder u64 |
 *         | keyed u64 | nextKeyed u64 | answersHash u32 | machine version u32 | nameBytes u8 | machine name … |
 * ```
 */
const MAGIC = 0x54535743;
const FORMAT = 1;
export const MAX_HEAD_BYTES = 512;
/** Far above what the limits allow for one session; a longer record is damage. */
const MAX_RECORD_BYTES = 1 << 30;
const PIECE_BYTES = 64 * 1024;

export interface SnapshotHead {
  readonly machine: string;
  readonly version: number;
  readonly appliedIndex: number;
  readonly timeMs: number;
  readonly answersHash: number;
}

export class StateSnapshot implements SnapshotView {
  readonly #head: Uint8Array;
  readonly #sessions: LiveView<Session, Uint8Array>;
  readonly #keyed: LiveView<KeyedAnswer, KeyedAnswer>;
  readonly #machine: SnapshotView;

  constructor(head: SnapshotHead, sessions: SessionTable, keyed: KeyedAnswers, machine: SnapshotView) {
    const name = Buffer.from(head.machine, 'utf8');
    const out = new ByteWriter(MAX_HEAD_BYTES);
    out.u32(0).u32(MAGIC).u32(FORMAT).u64(head.appliedIndex).u64(head.timeMs);
    out.u64(sessions.count).u64(sessions.nextId).u64(sessions.useOrder).u64(keyed.count).u64(keyed.nextId);
    out.u32(head.answersHash).u32(head.version).u8(name.length).bytes(name);
    out.patchU32(0, out.position - 4);
    this.#head = out.take();
    this.#sessions = sessions.view();
    this.#keyed = keyed.view();
    this.#machine = machine;
  }

  chunks(): Iterable<Uint8Array> {
    return writeBlocks(this.#pieces());
  }

  release(): void {
    this.#sessions.release();
    this.#keyed.release();
    this.#machine.release();
  }

  *#pieces(): Generator<Uint8Array, void, undefined> {
    yield this.#head;
    const out = new ByteWriter(PIECE_BYTES);
    for (const session of this.#sessions.read()) {
      out.u32(session.length).bytes(session);
      if (out.position >= PIECE_BYTES) yield flush(out);
    }
    for (const answer of this.#keyed.read()) {
      const start = out.position;
      out.u32(0);
      writeKeyedAnswer(answer, out);
      out.patchU32(start, out.position - start - 4);
      if (out.position >= PIECE_BYTES) yield flush(out);
    }
    yield flush(out);
    yield* this.#machine.chunks();
  }
}

/** What was written, valid until more is. */
function flush(out: ByteWriter): Uint8Array {
  const piece = out.buffer.subarray(0, out.position);
  out.clear();
  return piece;
}

export interface RestoredState {
  readonly appliedIndex: number;
  readonly timeMs: number;
  readonly answersHash: number;
  readonly sessions: SessionTable;
  readonly keyed: KeyedAnswers;
}

/**
 * Reads a snapshot and restores `machine` from its part of it. `onMachine` is called before the machine sees
 * anything: from then on a failure leaves the machine in a state nobody vouches for.
 */
export async function readState(
  chunks: AsyncIterable<Uint8Array>,
  machine: StateMachine,
  onMachine: () => void,
): Promise<RestoredState> {
  const reader = new ChunkReader(readBlocks(chunks));
  try {
    const head = await readHead(reader, machine);
    const sessions = await readSessions(reader, head.sessions, head.nextSession, head.useOrder);
    const keyed = await readKeyed(reader, head.keyed, head.nextKeyed);
    onMachine();
    await restoreMachine(machine, rest(reader), head.version);
    if (!(await reader.atEnd())) throw damaged('the machine left bytes unread');
    const { appliedIndex, timeMs, answersHash } = head;
    return { appliedIndex, timeMs, answersHash, sessions, keyed };
  } catch (error) {
    if (CordwoodError.is(error)) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new CordwoodError('SNAPSHOT_DAMAGED', `The snapshot cannot be restored: ${reason}`, {
      cause: error,
    });
  } finally {
    await reader.close();
  }
}

/** What the machine throws by itself is its own fault: the checksums of what it is given were verified on the way. */
async function restoreMachine(
  machine: StateMachine,
  chunks: AsyncIterable<Uint8Array>,
  version: number,
): Promise<void> {
  try {
    await machine.restore(chunks, version);
  } catch (cause) {
    if (CordwoodError.is(cause)) throw cause;
    const reason = `machine "${machine.name}" threw in restore: ${String(cause)}`;
    throw new CordwoodError('MACHINE_FAILED', reason, { cause });
  }
}

export interface Head {
  readonly machine: string;
  readonly version: number;
  readonly appliedIndex: number;
  readonly timeMs: number;
  readonly sessions: number;
  readonly nextSession: number;
  readonly useOrder: number;
  readonly keyed: number;
  readonly nextKeyed: number;
  readonly answersHash: number;
}

async function readHead(reader: ChunkReader, machine: StateMachine): Promise<Head> {
  const { start, end } = await readRecord(reader, MAX_HEAD_BYTES);
  const head = decodeHead(reader.buffer, start, end);
  const { name, version, oldestVersion = version } = machine;
  if (head.machine !== name || head.version > version || head.version < oldestVersion) {
    const known =
      oldestVersion === version ? `version ${version}` : `versions ${oldestVersion} to ${version}`;
    throw new CordwoodError(
      'INCOMPATIBLE_VERSION',
      `The snapshot is of machine "${head.machine}" version ${head.version}, this node knows "${name}" ${known}.`,
    );
  }
  return head;
}

/** The head in `bytes[start, end)`. Throws `SNAPSHOT_DAMAGED`. */
export function decodeHead(bytes: Uint8Array, start: number, end: number): Head {
  const fields = new FieldReader(bytes, start, end);
  if (fields.u32() !== MAGIC) throw damaged('it does not start like one');
  const format = fields.u32();
  if (format !== FORMAT) throw damaged(`format ${format} is unknown`);
  const numbers = {
    appliedIndex: fields.u64(),
    timeMs: fields.u64(),
    sessions: fields.u64(),
    nextSession: fields.u64(),
    useOrder: fields.u64(),
    keyed: fields.u64(),
    nextKeyed: fields.u64(),
    answersHash: fields.u32(),
    version: fields.u32(),
  };
  const machine = fields.bytes(fields.u8()).toString('utf8');
  fields.done();
  return { ...numbers, machine };
}

async function readSessions(
  reader: ChunkReader,
  count: number,
  nextId: number,
  useOrder: number,
): Promise<SessionTable> {
  const sessions: Session[] = [];
  const ids = new Set<number>();
  for (let i = 0; i < count; i++) {
    const { start, end } = await readRecord(reader, MAX_RECORD_BYTES);
    const session = readSession(new FieldReader(reader.buffer, start, end), 0);
    if (session.id >= nextId || ids.has(session.id) || session.useOrder > useOrder) {
      throw damaged('the number of a session is wrong');
    }
    ids.add(session.id);
    sessions.push(session);
  }
  const table = new SessionTable();
  table.restore(sessions, nextId, useOrder);
  return table;
}

async function readKeyed(reader: ChunkReader, count: number, nextId: number): Promise<KeyedAnswers> {
  const answers: KeyedAnswer[] = [];
  const keys = new Set<string>();
  for (let i = 0; i < count; i++) {
    const { start, end } = await readRecord(reader, MAX_RECORD_BYTES);
    const answer = readKeyedAnswer(new FieldReader(reader.buffer, start, end), 0);
    if (answer.id >= nextId || keys.has(answer.key)) throw damaged('an idempotency key is there twice');
    keys.add(answer.key);
    answers.push(answer);
  }
  const keyed = new KeyedAnswers();
  keyed.restore(answers, nextId);
  return keyed;
}

/** Everything the reader has not given out yet. */
async function* rest(reader: ChunkReader): AsyncGenerator<Uint8Array, void, undefined> {
  while (!(await reader.atEnd())) {
    // No Buffer: its `slice`, by which machines keep a part of what they are lent, copies nothing.
    const { buffer, byteOffset } = reader.buffer;
    const piece = new Uint8Array(buffer, byteOffset + reader.at, reader.available);
    reader.at = reader.end;
    yield piece;
  }
}
