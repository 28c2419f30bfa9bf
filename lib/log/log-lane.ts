import { CordwoodError } from '../../protocol/errors.ts';
import type { Index } from '../core/types.ts';
import { diskError, readError } from './disk-error.ts';
import type { LogEngine } from './log-engine.ts';
import type { LogSlice, LogWrite } from './log-store.ts';
import { bytesOfWrite } from './log-tail.ts';
import type { DiskSpace } from './space.ts';

/** What a lane does next. */
export type LaneStep = 'write' | 'sync' | 'read' | 'compact' | 'quarantine' | 'prepare';

/** Answers of a lane, called from within `step`. */
export interface LaneEvents {
  durable(ticket: number): void;
  /** Once; nothing is durable after it. */
  failed(error: CordwoodError): void;
  slice(id: number, result: LogSlice | Error): void;
  /** A `setQuarantine` is durable, or has failed. */
  done(id: number, error: Error | null): void;
  /** The number of segments or their size changed. */
  changed(): void;
}

type Operation =
  | { readonly kind: 'write'; readonly write: LogWrite; readonly bytes: number }
  | {
      readonly kind: 'read';
      readonly id: number;
      readonly from: Index;
      readonly to: Index;
      readonly maxBytes: number;
    }
  | { readonly kind: 'compact'; readonly through: Index }
  | { readonly kind: 'quarantine'; readonly id: number; readonly reason: string | null };

/**
 * The order in which a log's operations happen. Requests queue up; each `step` does the next short piece of work.
 * All writes that wait when one is started become one block and one sync. Whoever hosts a lane decides only when
 * the steps run: the log thread as fast as it can, the simulator when its clock says so.
 */
export class LogLane {
  readonly #engine: LogEngine;
  readonly #events: LaneEvents;
  readonly #maxGroupBytes: number;
  #queue: Operation[] = [];
  #head = 0;
  /** Ticket that becomes durable with the next sync; -1: none. */
  #unsynced = -1;
  #compactThrough: Index = 0;
  /** A piece of compaction is due even if writes wait: otherwise a busy log would never shrink. */
  #compactTurn = false;
  #prepared = false;
  #failure: CordwoodError | null = null;
  #segments = 0;
  #blocks = 0;
  #blockBytes = 0;

  constructor(engine: LogEngine, events: LaneEvents, maxGroupBytes: number) {
    this.#engine = engine;
    this.#events = events;
    this.#maxGroupBytes = maxGroupBytes;
    this.#segments = engine.segments;
  }

  /** Blocks written so far, and their bytes: by these the host judges how busy the log is. */
  get blocks(): number {
    return this.#blocks;
  }

  get blockBytes(): number {
    return this.#blockBytes;
  }

  append(write: LogWrite): void {
    this.#queue.push({ kind: 'write', write, bytes: bytesOfWrite(write) });
  }

  read(id: number, from: Index, to: Index, maxBytes: number): void {
    this.#queue.push({ kind: 'read', id, from, to, maxBytes });
  }

  compact(through: Index): void {
    this.#queue.push({ kind: 'compact', through });
  }

  setQuarantine(id: number, reason: string | null): void {
    this.#queue.push({ kind: 'quarantine', id, reason });
  }

  /** What `step` would do; null: nothing. `prepare` is work ahead that can wait for anything else. */
  get next(): LaneStep | null {
    if (this.#failure !== null) return this.#head < this.#queue.length ? 'read' : null;
    if (this.#unsynced >= 0) return 'sync';
    if (this.#compactThrough > 0 && (this.#compactTurn || this.#head === this.#queue.length))
      return 'compact';
    const operation = this.#queue[this.#head];
    if (operation !== undefined) return operation.kind;
    return this.#prepared ? null : 'prepare';
  }

  /** Bytes the next step moves: what a simulated disk charges for. */
  get nextBytes(): number {
    const operation = this.#queue[this.#head];
    if (this.next === 'read' && operation?.kind === 'read') return operation.maxBytes;
    if (this.next !== 'write') return 0;
    let bytes = 0;
    for (let i = this.#head; i < this.#queue.length; i++) {
      const candidate = this.#queue[i]!;
      if (candidate.kind !== 'write' || (i > this.#head && bytes + candidate.bytes > this.#maxGroupBytes))
        break;
      bytes += candidate.bytes;
    }
    return bytes;
  }

  step(): void {
    const next = this.next;
    if (next === null) return;
    if (this.#failure !== null) {
      this.#refuse(this.#failure);
      return;
    }
    try {
      if (next === 'sync') this.#sync();
      else if (next === 'write') this.#write();
      else if (next === 'read') this.#read();
      else if (next === 'compact') this.#compact();
      else if (next === 'quarantine') this.#setQuarantine();
      else this.#prepared = !this.#engine.prepare();
    } catch (error) {
      this.#fail(error);
    }
    this.#reportChange();
  }

  /** Looks at the room on the disk, at once; null if it is not known, and after a failure. */
  checkSpace(): DiskSpace | null {
    if (this.#failure !== null) return null;
    try {
      return this.#engine.checkSpace();
    } catch (error) {
      this.#fail(error);
      return null;
    }
  }

  /**
   * For a write that waits for room: drops the oldest segment if an order to compact allows that, wherever it stands in
   * the queue. Those behind the write would never have their turn, and all writes would wait for room that a durable
   * snapshot has made superfluous. False: there is nothing to drop.
   *
   * The last two segments stay: where the write begins the last one, that is not on disk yet, and the one before it is
   * still to get its end mark.
   */
  compactForRoom(): boolean {
    if (this.#engine.segments <= 2) return false;
    let through = this.#compactThrough;
    for (let i = this.#head; i < this.#queue.length; i++) {
      const operation = this.#queue[i]!;
      if (operation.kind === 'compact') through = Math.max(through, operation.through);
    }
    return through > 0 && this.#engine.compact(through);
  }

  /** Does everything that waits, closes the engine, refuses what comes later. */
  close(): void {
    while (this.next !== null && this.next !== 'prepare') this.step();
    if (this.#failure === null) {
      try {
        this.#engine.close();
      } catch (error) {
        this.#events.failed(diskError(error));
      }
      this.#failure = new CordwoodError('CLOSED', 'the log is closed');
    } else {
      this.#engine.close();
    }
  }

  #fail(error: unknown): void {
    this.#failure = diskError(error);
    this.#unsynced = -1;
    this.#events.failed(this.#failure);
  }

  #write(): void {
    const writes: LogWrite[] = [];
    let bytes = 0;
    while (this.#head < this.#queue.length) {
      const operation = this.#queue[this.#head]!;
      if (operation.kind !== 'write' || (writes.length > 0 && bytes + operation.bytes > this.#maxGroupBytes))
        break;
      writes.push(operation.write);
      bytes += operation.bytes;
      this.#shift();
    }
    this.#engine.write(writes);
    this.#blocks++;
    this.#blockBytes += bytes;
    this.#unsynced = writes[writes.length - 1]!.ticket;
    this.#prepared = false;
  }

  #sync(): void {
    this.#engine.sync();
    const ticket = this.#unsynced;
    this.#unsynced = -1;
    this.#compactTurn = true;
    this.#events.durable(ticket);
  }

  #read(): void {
    const operation = this.#queue[this.#head]!;
    this.#shift();
    if (operation.kind !== 'read') return;
    let result: LogSlice | Error;
    try {
      result = this.#engine.read(operation.from, operation.to, operation.maxBytes);
    } catch (error) {
      // A failed read harms nobody but who asked: the log itself goes on.
      const { from, to } = operation;
      result = error instanceof RangeError ? error : readError(error, `entries ${from} to ${to}`);
    }
    this.#events.slice(operation.id, result);
  }

  #compact(): void {
    this.#compactTurn = false;
    const operation = this.#queue[this.#head];
    if (this.#compactThrough > 0) {
      if (!this.#engine.compact(this.#compactThrough)) this.#compactThrough = 0;
    } else if (operation?.kind === 'compact') {
      this.#compactThrough = operation.through;
      this.#shift();
    }
  }

  #setQuarantine(): void {
    const operation = this.#queue[this.#head]!;
    this.#shift();
    if (operation.kind !== 'quarantine') return;
    this.#engine.setQuarantine(operation.reason);
    this.#events.done(operation.id, null);
  }

  /** After a failure writes vanish (the failure was reported), who waits for an answer gets it. */
  #refuse(failure: CordwoodError): void {
    const operation = this.#queue[this.#head]!;
    this.#shift();
    if (operation.kind === 'read') this.#events.slice(operation.id, failure);
    else if (operation.kind === 'quarantine') this.#events.done(operation.id, failure);
  }

  #shift(): void {
    this.#head++;
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    }
  }

  #reportChange(): void {
    const { segments } = this.#engine;
    if (segments === this.#segments) return;
    this.#segments = segments;
    this.#events.changed();
  }
}
