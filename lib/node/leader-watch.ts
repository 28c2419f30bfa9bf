import type { NodeId } from '../core/types.ts';
import type { Driver } from './driver.ts';
import { tell } from './tell.ts';
import type { LeaderInfo } from './types.ts';

/** Who leads and where its clients connect, as this node knows it. */
export class LeaderWatch {
  readonly #driver: Driver;
  readonly #listeners = new Set<(leader: LeaderInfo | null) => void>();
  #leader: LeaderInfo | null = null;
  #changes = 0;

  constructor(driver: Driver) {
    this.#driver = driver;
  }

  get leader(): LeaderInfo | null {
    return this.#leader;
  }

  /** How often leadership went to another node, or was lost, since the start. */
  get changes(): number {
    return this.#changes;
  }

  /** Calls `listener` at each change; the returned function ends that. */
  on(listener: (leader: LeaderInfo | null) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** To be called when the core may have another leader, and when a handshake may have told an address. */
  follow(): void {
    const { core, options } = this.#driver;
    const { leader } = core;
    const address = this.#addressOf(leader);
    const old = this.#leader;
    if (old?.id === leader && old.address === address) return;
    if (old === null && leader === 0) return;
    if ((old?.id ?? 0) !== leader) this.#changes++;
    options.logger.info({ leader, term: core.term, role: core.role }, leader === 0 ? 'no leader' : 'leader');
    this.#set(leader === 0 ? null : { id: leader, address });
  }

  /** The node has stopped: it knows nobody any more. */
  end(): void {
    this.#set(null);
  }

  #addressOf(leader: NodeId): string {
    const { options, transport } = this.#driver;
    return leader === options.id ? options.clientAddress : (transport.clientAddress(leader) ?? '');
  }

  #set(leader: LeaderInfo | null): void {
    this.#leader = leader;
    tell(this.#listeners, leader);
  }
}
