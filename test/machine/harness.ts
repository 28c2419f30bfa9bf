import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { decode, encode } from '@msgpack/msgpack';
import type { ReplyRun } from '../../lib/machine/response-frame.ts';
import type { ReplicatedState } from '../../lib/machine/replicated-state.ts';
import type { SnapshotView, StateMachine } from '../../lib/machine/state-machine.ts';
import { ByteWriter, readU16, readU32 } from '../../protocol/byte-writer.ts';
import { FRAME_HEADER_BYTES, Kind, WRITE_HEADER_BYTES } from '../../protocol/constants.ts';

export interface Answer {
  readonly status: number;
  readonly value: unknown;
}

/** A frame a client would write. */
export interface Write {
  readonly kind?: number;
  readonly session?: number;
  readonly seq?: number;
  readonly window?: number;
  readonly requestId?: number;
  /** msgpack of it is the body; bytes are the body themselves. */
  readonly body?: unknown;
}

export function frame(write: Write): Buffer {
  const body = write.body === undefined ? new Uint8Array(0) : bytesOf(write.body);
  const seq = write.seq ?? 0;
  const out = new ByteWriter(64);
  out
    .u32(WRITE_HEADER_BYTES - 4 + body.length)
    .u8(write.kind ?? Kind.command)
    .u8(0)
    .u16(0);
  out
    .u32(write.requestId ?? 7)
    .u32(write.window ?? Math.max(0, seq - 1))
    .u64(write.session ?? 0)
    .u64(seq)
    .bytes(body);
  return out.take();
}

export function keyed(key: string, command: unknown): Write {
  const body = bytesOf(command);
  const out = new ByteWriter(64);
  const keyBytes = Buffer.from(key);
  out.u16(keyBytes.length).bytes(keyBytes).bytes(body);
  return { kind: Kind.keyedCommand, body: out.take() };
}

function bytesOf(body: unknown): Uint8Array {
  return body instanceof Uint8Array ? body : encode(body);
}

/** Takes response frames apart; throws where they are not exactly that. */
export function responses(bytes: Uint8Array): (Answer & { requestId: number })[] {
  const answers = [];
  let at = 0;
  while (at < bytes.length) {
    const end = at + 4 + readU32(bytes, at);
    if (bytes[at + 4] !== Kind.response || readU16(bytes, at + 6) !== 0 || end > bytes.length) {
      throw new Error('no response frame');
    }
    answers.push({
      status: bytes[at + 5]!,
      requestId: readU32(bytes, at + 8),
      value: decode(bytes.subarray(at + FRAME_HEADER_BYTES, end)),
    });
    at = end;
  }
  return answers;
}

/** Applies frames as one entry and gives their answers. */
export function applyAll(state: ReplicatedState, writes: readonly Write[], timeMs = 0): Answer[] {
  const batch = Buffer.concat(writes.map(frame));
  const out = new ByteWriter(64);
  const runs: ReplyRun[] = [{ end: batch.length, out }];
  state.applyBatch(batch, 0, batch.length, { index: state.appliedIndex + 1, timeMs }, runs);
  return responses(out.take()).map(({ status, value }) => ({ status, value }));
}

export function applyOne(state: ReplicatedState, write: Write, timeMs = 0): Answer {
  return applyAll(state, [write], timeMs)[0]!;
}

export function run(machine: StateMachine, command: unknown): Answer {
  const bytes = bytesOf(command);
  const out = new ByteWriter(16);
  const status = machine.apply(bytes, 0, bytes.length, out, { index: 1, timeMs: 0 });
  return { status, value: decode(out.take()) };
}

export function ask(machine: StateMachine, query: unknown): Answer {
  const bytes = bytesOf(query);
  const out = new ByteWriter(16);
  const status = machine.query(bytes, 0, bytes.length, out);
  return { status, value: decode(out.take()) };
}

/** Reads a view to its end and releases it. */
export function collect(view: SnapshotView): Buffer {
  const chunks = [];
  for (const chunk of view.chunks()) chunks.push(Buffer.from(chunk));
  view.release();
  return Buffer.concat(chunks);
}

/** `bytes` in chunks of `size`, each overwritten when the next is asked for. */
export async function* chunked(bytes: Uint8Array, size: number = 64 * 1024): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(size);
  for (let at = 0; at < bytes.length; at += size) {
    const piece = bytes.subarray(at, at + size);
    buffer.set(piece);
    yield buffer.subarray(0, piece.length);
    buffer.fill(0xee);
  }
}

/** A small generator of random numbers with a seed, for long runs where fast-check would be too slow. */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return Math.floor((((x ^ (x >>> 14)) >>> 0) / 4294967296) * below);
  };
}

/** A full garbage collection, for tests of what is let go of. */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}
