import type { Socket } from 'node:net';
import { cutOffHeaviest } from './cut-off.ts';
import type { CutOff } from './cut-off.ts';

const SWEEPS_PER_STALL = 10;

export interface OutputLimits {
  readonly stallTimeoutMs: number;
  readonly maxTotalOutputBytes: number;
}

interface Internals {
  readonly _handle?: { readonly writeQueueSize?: number } | null;
}

/** What one connection has not taken of its answers yet. */
export class UnsentOutput {
  readonly cutOff: CutOff;
  readonly #socket: Socket;
  readonly #change: (bytes: number) => void;
  #closed = false;
  #bytes = 0;
  #stillSweeps = 0;
  #sweptLeft = 0;
  #sweptQueue = 0;

  constructor(socket: Socket, cutOff: CutOff, change: (bytes: number) => void) {
    this.#socket = socket;
    this.cutOff = cutOff;
    this.#change = change;
  }

  /** As last weighed. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Sweeps in a row that have found nothing taken. */
  get stillSweeps(): number {
    return this.#stillSweeps;
  }

  /** Who is cut off first: those with much that have long taken nothing. */
  get weight(): number {
    return this.#bytes * (1 + this.#stillSweeps);
  }

  /** Looks how much it is now, and returns it. */
  weigh(): number {
    const bytes = this.#closed ? 0 : this.#socket.writableLength;
    const more = bytes - this.#bytes;
    this.#bytes = bytes;
    if (more !== 0) this.#change(more);
    return bytes;
  }

  close(): void {
    this.#closed = true;
    this.weigh();
  }

  sweep(): void {
    const bytes = this.weigh();
    // What has left altogether: answers of one length, one after the other, leave as much unsent as there was.
    const left = bytes === 0 ? 0 : this.#socket.bytesWritten - bytes;
    // A write of many MiB leaves piece by piece, and counts as unsent until its end: libuv knows what remains of it.
    const queue = bytes === 0 ? 0 : ((this.#socket as Internals)._handle?.writeQueueSize ?? 0);
    const taken = bytes === 0 || left !== this.#sweptLeft || queue !== this.#sweptQueue;
    this.#stillSweeps = taken ? 0 : this.#stillSweeps + 1;
    this.#sweptLeft = left;
    this.#sweptQueue = queue;
  }
}

/**
 * Unsent answers of all connections of a front door. Who takes none of them for too long is cut off, however few they
 * are; when all together are too many, those who keep the most for the longest are.
 *
 * One sweep looks at all connections now and then: a timer of each would have to be set at each write.
 */
export class OutputBudget {
  readonly #limits: OutputLimits;
  readonly #connections = new Set<UnsentOutput>();
  #sweeps: NodeJS.Timeout | null = null;
  #bytes = 0;
  #relieving = false;

  constructor(limits: OutputLimits) {
    this.#limits = limits;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get exceeded(): boolean {
    return !this.hasRoomFor(0);
  }

  hasRoomFor(bytes: number): boolean {
    return this.#bytes + bytes <= this.#limits.maxTotalOutputBytes;
  }

  /** Watches a connection until it is closed. Its owner weighs it after writes that may have left something. */
  watch(socket: Socket, cutOff: CutOff): UnsentOutput {
    const unsent = new UnsentOutput(socket, cutOff, (bytes) => this.#change(bytes));
    this.#connections.add(unsent);
    this.#sweeps ??= setInterval(
      () => this.#sweep(),
      Math.max(10, this.#limits.stallTimeoutMs / SWEEPS_PER_STALL),
    ).unref();
    socket.once('close', () => this.#forget(unsent));
    return unsent;
  }

  #change(bytes: number): void {
    this.#bytes += bytes;
    if (!this.exceeded || this.#relieving) return;
    this.#relieving = true;
    // Not in the middle of a node's turn, which may be about to answer the one that is cut off.
    queueMicrotask(() => {
      this.#relieve();
      this.#relieving = false;
    });
  }

  #relieve(): void {
    // Much may have left since it was weighed.
    for (const unsent of this.#connections) unsent.weigh();
    if (!this.exceeded) return;
    const why = 'too many answers wait to be taken, and it is one of those that keep the most';
    cutOffHeaviest(
      this.#connections,
      (unsent) => unsent.weight,
      (unsent) => this.#end(unsent, why),
      () => this.#bytes,
      this.#limits.maxTotalOutputBytes,
    );
  }

  #sweep(): void {
    // Counted in sweeps: after a stall of this process the clock has gone on, and nobody could take anything.
    for (const unsent of this.#connections) {
      unsent.sweep();
      if (unsent.stillSweeps >= SWEEPS_PER_STALL)
        this.#end(unsent, 'it took none of its answers for too long');
    }
  }

  #end(unsent: UnsentOutput, why: string): void {
    this.#forget(unsent);
    unsent.cutOff(why);
  }

  #forget(unsent: UnsentOutput): void {
    if (!this.#connections.delete(unsent)) return;
    unsent.close();
    if (this.#connections.size > 0 || this.#sweeps === null) return;
    clearInterval(this.#sweeps);
    this.#sweeps = null;
  }
}
