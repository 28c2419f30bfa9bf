import { normalAddress } from './options.ts';

/** How many addresses a client keeps beyond the ones it was given. */
const MAX_LEARNED = 64;
const FIRST_BACKOFF_MS = 10;
const MAX_BACKOFF_MS = 500;

interface Entry {
  readonly address: string;
  /** The node that answered there last; 0: none did yet. */
  nodeId: number;
  /** Tries in a row that failed. */
  failures: number;
  /** Not tried again before. */
  retryAt: number;
  reason: string;
  /** Another try would fail as the last one did. */
  lasting: boolean;
}

/** The addresses of a cluster: where to try next, and how long to leave alone what did not answer. */
export class AddressBook {
  readonly #entries = new Map<string, Entry>();
  readonly #given: number;
  readonly #random: () => number;

  /** `random` gives numbers in [0, 1). */
  constructor(addresses: readonly string[], random: () => number) {
    for (const address of addresses) this.#add(address);
    this.#given = this.#entries.size;
    this.#random = random;
  }

  /** Takes in an address that a node told; returns its normal form, or null for one that is of no use. */
  learn(address: string, nodeId: number): string | null {
    let normal: string;
    try {
      normal = normalAddress(address);
    } catch {
      return null;
    }
    let entry = this.#entries.get(normal);
    if (entry === undefined) {
      if (this.#entries.size >= this.#given + MAX_LEARNED) return null;
      entry = this.#add(normal);
    }
    entry.nodeId = nodeId;
    return normal;
  }

  /**
   * Where a node is, as far as known. It may have been met at one address and tell another: it has moved, or has two and
   * cannot be reached at both. The one that has failed less is believed.
   */
  addressOf(nodeId: number): string | null {
    let best: Entry | null = null;
    for (const entry of this.#entries.values()) {
      if (entry.nodeId === nodeId && (best === null || entry.failures < best.failures)) best = entry;
    }
    return best?.address ?? null;
  }

  /** A node has welcomed us there. It is not known to work before it has answered something. */
  met(address: string, nodeId: number): void {
    const entry = this.#entries.get(address);
    if (entry === undefined) return;
    // A node has one client address: a restarted one may have moved.
    for (const other of this.#entries.values()) if (other.nodeId === nodeId) other.nodeId = 0;
    entry.nodeId = nodeId;
    entry.lasting = false;
  }

  worked(address: string): void {
    const entry = this.#entries.get(address);
    if (entry === undefined) return;
    entry.failures = 0;
    entry.retryAt = 0;
  }

  /** `lasting`: another try would fail in the same way. */
  failed(address: string, nowMs: number, reason: string, lasting = false): void {
    const entry = this.#entries.get(address);
    if (entry === undefined) return;
    entry.failures++;
    entry.reason = reason;
    entry.lasting = lasting;
    const backoffMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(entry.failures - 1, 10));
    entry.retryAt = nowMs + backoffMs * (0.5 + this.#random() / 2);
  }

  /** A connection that worked was lost: every address may be tried at once. */
  forgetBackoff(): void {
    for (const entry of this.#entries.values()) entry.retryAt = 0;
  }

  /** When an address may be tried. */
  retryAt(address: string): number {
    return this.#entries.get(address)?.retryAt ?? Infinity;
  }

  /**
   * The address to try now: `preferred` if it may be tried, else one of those with the fewest failures. Null if all
   * are in `busy` or must be left alone for a while.
   */
  next(preferred: string | null, busy: ReadonlySet<string>, nowMs: number): string | null {
    let best: Entry | null = null;
    let alike = 0;
    for (const entry of this.#entries.values()) {
      if (busy.has(entry.address) || entry.retryAt > nowMs) continue;
      if (entry.address === preferred) return preferred;
      if (best === null || entry.failures < best.failures) {
        best = entry;
        alike = 1;
      } else if (entry.failures === best.failures && this.#random() * ++alike < 1) {
        best = entry;
      }
    }
    return best?.address ?? null;
  }

  /** When the first address not in `busy` may be tried; Infinity if all are in it. */
  nextRetryAt(busy: ReadonlySet<string>): number {
    let at = Infinity;
    for (const entry of this.#entries.values()) {
      if (!busy.has(entry.address)) at = Math.min(at, entry.retryAt);
    }
    return at;
  }

  /** Whether every address has failed in a way that further tries would only repeat. */
  get hopeless(): boolean {
    for (const entry of this.#entries.values()) if (!entry.lasting) return false;
    return true;
  }

  /** For a person: what became of each address. */
  describe(): string {
    return [...this.#entries.values()]
      .map(({ address, reason }) => (reason === '' ? address : `${address} (${reason})`))
      .join(', ');
  }

  #add(address: string): Entry {
    const entry: Entry = { address, nodeId: 0, failures: 0, retryAt: 0, reason: '', lasting: false };
    this.#entries.set(address, entry);
    return entry;
  }
}
