import type { LogDamage, LogEvents } from '../log/log-store.ts';
import type { DiskSpace } from '../log/space.ts';

/** What the log says while a node runs. */
type LogNews = Required<Pick<LogEvents, 'onDurable' | 'onFailure' | 'onDamage' | 'onSpace'>>;

/**
 * The log works before there is a node: while a large snapshot is restored it makes room ahead, looks at the disk and
 * reads what is at rest. What it says meanwhile it says once. A failure that nobody heard would leave a node that runs,
 * and whose writes never become durable; one that never heard how little room there is would take writes as if there
 * were enough.
 */
export class EarlyLogEvents implements LogNews {
  #listener: LogNews | null = null;
  #failure: Error | null = null;
  readonly #damages: LogDamage[] = [];
  #space: DiskSpace | null = null;

  /** Tells `listener` what it has missed, and all that comes from now on. */
  open(listener: LogNews): void {
    this.#listener = listener;
    if (this.#space !== null) listener.onSpace(this.#space);
    for (const damage of this.#damages) listener.onDamage(damage);
    if (this.#failure !== null) listener.onFailure(this.#failure);
  }

  // Nothing is appended before there is a node.
  readonly onDurable = (ticket: number, forMs: number): void => {
    this.#listener?.onDurable(ticket, forMs);
  };

  readonly onFailure = (error: Error): void => {
    if (this.#listener === null) this.#failure ??= error;
    else this.#listener.onFailure(error);
  };

  readonly onDamage = (damage: LogDamage): void => {
    if (this.#listener === null) this.#damages.push(damage);
    else this.#listener.onDamage(damage);
  };

  readonly onSpace = (space: DiskSpace): void => {
    if (this.#listener === null) this.#space = space;
    else this.#listener.onSpace(space);
  };
}
