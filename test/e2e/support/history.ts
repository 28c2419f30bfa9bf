/** What clients did to stacks and what they were told, for the checker. */

export type OpKind = 'push' | 'pop' | 'top' | 'size';

/** Answer of a pop or top that found nothing. */
export const EMPTY = null;

export interface Op {
  readonly client: string;
  readonly stack: string;
  readonly kind: OpKind;
  /** What a push puts there; unique in the history. */
  readonly value: string | null;
  /** Before the call was made, on a clock all clients share. */
  readonly callMs: number;
  /** After the answer was seen; Infinity where there was none that counts. */
  readonly endMs: number;
  /**
   * `ok`: it was done, with `result`; `not_applied`: it was not and will not be; `unknown`: it may have been, or may be
   * later.
   */
  readonly outcome: 'ok' | 'not_applied' | 'unknown';
  /** Size after a push, of `size`; value of a pop or top, or `EMPTY`. */
  readonly result: string | number | null;
  /** Code of the error, if there was one. */
  readonly error: string;
}

export class History {
  readonly ops: Op[] = [];
  #values = 0;

  /** A value no other push of this history has. `padding` makes it longer. */
  value(client: string, padding: number): string {
    return `${client}-${++this.#values}${'.'.repeat(padding)}`;
  }

  add(op: Op): void {
    this.ops.push(op);
  }

  get stacks(): string[] {
    return [...new Set(this.ops.map((op) => op.stack))];
  }

  of(stack: string): Op[] {
    return this.ops.filter((op) => op.stack === stack);
  }

  count(outcome: Op['outcome']): number {
    return this.ops.reduce((sum, op) => sum + (op.outcome === outcome ? 1 : 0), 0);
  }

  /** How often each error code came. */
  get errors(): Record<string, number> {
    const errors: Record<string, number> = {};
    for (const { error } of this.ops) if (error !== '') errors[error] = (errors[error] ?? 0) + 1;
    return errors;
  }
}
