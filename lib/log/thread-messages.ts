import type { MessagePort } from 'node:worker_threads';
import { CordwoodError, ErrorCodes } from '../../protocol/errors.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import { diskErrorCode } from './disk-error.ts';
import type { LogSizes } from './log-options.ts';
import type { LogDamage, LogStats, LogWrite, Recovery, StoredSnapshot } from './log-store.ts';
import type { DiskSpace } from './space.ts';
import type { SnapshotCall, SnapshotReply } from './snapshot-calls.ts';
import type { RingMemory } from './thread-ring.ts';

/** What a log thread is started with. */
export interface LogThreadTask {
  readonly port: MessagePort;
  readonly ring: RingMemory;
  /** Where it counts the bytes that recovery reads: one float64. */
  readonly done: SharedArrayBuffer;
  readonly path: string;
  readonly owner: number;
  readonly sizes: LogSizes;
}

export interface SnapshotThreadTask {
  readonly port: MessagePort;
  readonly path: string;
  readonly owner: number;
  /** Number of the first writer or reader. Above 1 the thread takes the place of one that has died. */
  readonly firstHandle: number;
}

/**
 * An append is one flat array of numbers, which goes through the ring and not the port:
 * ```
 * ticket, first, last, hasHardState, term, vote, hasReset, resetIndex, resetTerm, then for each record buffer:
 * id of its SharedArrayBuffer, offset, length
 * ```
 * A buffer that is not shared has id 0, and its bytes travel in a `loose` message just before, in order.
 */
export type AppendMessage = readonly number[];
const APPEND_FIELDS = 9;

export type ToLogThread =
  | { readonly kind: 'share'; readonly id: number; readonly buffer: SharedArrayBuffer }
  | { readonly kind: 'forget'; readonly id: number }
  | { readonly kind: 'loose'; readonly bytes: Uint8Array }
  | {
      readonly kind: 'read';
      readonly id: number;
      readonly from: number;
      readonly to: number;
      readonly maxBytes: number;
    }
  | { readonly kind: 'compact'; readonly through: number }
  | { readonly kind: 'quarantine'; readonly id: number; readonly reason: string | null }
  | { readonly kind: 'close' };

/** Durable tickets come through the ring. */
export type FromLogThread =
  /** First of all, while the log itself is still being read. */
  | { readonly kind: 'snapshots'; readonly latest: StoredSnapshot | null; readonly snapshotBytes: number }
  | {
      readonly kind: 'opened';
      readonly recovery: Recovery;
      readonly stats: Pick<LogStats, 'segments' | 'logBytes'>;
    }
  | { readonly kind: 'failed'; readonly error: PlainError }
  | {
      readonly kind: 'slice';
      readonly id: number;
      readonly first: number;
      readonly last: number;
      readonly bytes: Uint8Array;
    }
  | { readonly kind: 'unread'; readonly id: number; readonly error: PlainError }
  | { readonly kind: 'done'; readonly id: number; readonly error: PlainError | null }
  | { readonly kind: 'damage'; readonly damage: LogDamage }
  | { readonly kind: 'space'; readonly space: DiskSpace }
  | { readonly kind: 'stats'; readonly stats: Pick<LogStats, 'segments' | 'logBytes'> }
  /** The ring was full, and is not any more. */
  | { readonly kind: 'room' }
  | { readonly kind: 'closed' };

export type ToSnapshotThread =
  | { readonly kind: 'call'; readonly id: number; readonly call: SnapshotCall }
  /** Comes first: what recovery has found. */
  | { readonly kind: 'latest'; readonly latest: StoredSnapshot | null }
  | { readonly kind: 'close' };

export type FromSnapshotThread =
  | { readonly kind: 'reply'; readonly id: number; readonly reply: SnapshotReply }
  | { readonly kind: 'error'; readonly id: number; readonly error: PlainError };

/** An error as threads exchange it: the port would strip a class of its code. */
export interface PlainError {
  readonly code: string;
  readonly message: string;
  /** The operating system's code, of a disk error. */
  readonly diskCode: string | undefined;
}

export function toPlainError(error: unknown): PlainError {
  const message = error instanceof Error ? error.message : String(error);
  if (CordwoodError.is(error)) return { code: error.code, message, diskCode: diskErrorCode(error.cause) };
  return {
    code: error instanceof RangeError ? 'RangeError' : 'LOG_FAILED',
    message,
    diskCode: diskErrorCode(error),
  };
}

export function fromPlainError(plain: PlainError): Error {
  if (plain.code === 'RangeError') return new RangeError(plain.message);
  const code: ErrorCode = ErrorCodes.find((known) => known === plain.code) ?? 'LOG_FAILED';
  const cause =
    plain.diskCode === undefined
      ? undefined
      : Object.assign(new Error(plain.message), { code: plain.diskCode });
  return new CordwoodError(code, plain.message, { cause });
}

/** Lays out everything of an append but its buffers. */
export function encodeAppend(write: LogWrite): number[] {
  const { hardState, resetTo } = write;
  return [
    write.ticket,
    write.first,
    write.last,
    hardState === null ? 0 : 1,
    hardState === null ? 0 : hardState.term,
    hardState === null ? 0 : hardState.vote,
    resetTo === null ? 0 : 1,
    resetTo === null ? 0 : resetTo.index,
    resetTo === null ? 0 : resetTo.term,
  ];
}

/** The write an append message stands for. `loose` gives up the bytes that came before it. */
export function decodeAppend(
  message: AppendMessage,
  shared: ReadonlyMap<number, SharedArrayBuffer>,
  loose: Uint8Array[],
): LogWrite {
  const records: Uint8Array[] = [];
  for (let at = APPEND_FIELDS; at < message.length; at += 3) {
    const id = message[at]!;
    if (id === 0) {
      records.push(loose.shift()!);
      continue;
    }
    const buffer = shared.get(id);
    if (buffer === undefined) throw new TypeError(`buffer ${id} was never announced`);
    records.push(new Uint8Array(buffer, message[at + 1], message[at + 2]));
  }
  return {
    ticket: message[0]!,
    hardState: message[3] === 0 ? null : { term: message[4]!, vote: message[5]! },
    resetTo: message[6] === 0 ? null : { index: message[7]!, term: message[8]! },
    first: message[1]!,
    last: message[2]!,
    records,
  };
}
