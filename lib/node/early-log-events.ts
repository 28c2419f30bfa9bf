import type { LogDamage, LogEvents } from '../log/log-store.ts';
import type { DiskSpace } from '../log/space.ts';

/** Whom the log tells once the node is there. */
export interface LogListener {
  durable(ticket: number, forMs: number): void;
  failed(error: Error): void;
  damaged(damage: LogDamage): void;
  space(space: DiskSpace): void;
}

/**
 * The log works before there is a node: while a large snapshot is restored it makes room ahead, looks at the disk and
 * reads what is at rest. What it says meanwhile it says once. A failure that nobody heard would leave a node that runs,
 * and whose writes never become durable; one that never heard how little room there is would take writes as if there
 * were enough.
 */
export class EarlyLogEvents implements LogEvents {
  #listener: LogListener | null = null;
  #failure: Error | null = null;
  readonly #damages: LogDamage[] = [];
  #space: DiskSpace | null = null;

  /** Tells `listener` what it has missed, and all that comes from now on. */
  open(listener: LogListener): void {
    this.#listener = listener;
    if (this.#space !== null) listener.space(this.#space);
    for (const damage of this.#damages) listener.damaged(damage);
    if (this.#failure !== null) listener.failed(this.#failure);
  }

  // Nothing is appended before there is a node.
  readonly onDurable = (ticket: number, forMs: number): void => {
    this.#listener?.durable(ticket, forMs);
  };

  readonly onFailure = (error: Error): void => {
    if (this.#listener === null) this.#failure ??= error;
    else this.#listener.failed(error);
  };

  readonly onDamage = (damage: LogDamage): void => {
    if (this.#listener === null) this.#damages.push(damage);
    else this.#listener.damaged(damage);
  };

  readonly onSpace = (space: DiskSpace): void => {
    if (this.#listener === null) this.#space = space;
    else this.#listener.space(space);
  };
}
