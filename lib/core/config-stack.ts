import type { Config, Index } from './types.ts';

export interface ConfigAt {
  readonly index: Index;
  readonly config: Config;
}

/**
 * The configurations in the log, the newest in force. A configuration counts from the moment its entry is appended,
 * committed or not (dissertation 4.1), so a truncation brings the one before it back.
 */
export class ConfigStack {
  #stack: ConfigAt[];

  constructor(base: ConfigAt, newer: readonly ConfigAt[] = []) {
    this.#stack = [base, ...newer];
  }

  get current(): Config {
    return this.#stack[this.#stack.length - 1]!.config;
  }

  get currentIndex(): Index {
    return this.#stack[this.#stack.length - 1]!.index;
  }

  /** The configuration in force at `index`. */
  at(index: Index): ConfigAt {
    let i = this.#stack.length - 1;
    while (i > 0 && this.#stack[i]!.index > index) i--;
    return this.#stack[i]!;
  }

  push(index: Index, config: Config): void {
    this.#stack.push({ index, config });
  }

  truncateFrom(index: Index): void {
    while (this.#stack.length > 1 && this.#stack[this.#stack.length - 1]!.index >= index) this.#stack.pop();
  }

  /** Folds what is at or below `index` into one base. */
  compactTo(index: Index): void {
    const base = this.at(index);
    this.#stack = [base, ...this.#stack.filter((c) => c.index > base.index)];
  }

  reset(base: ConfigAt): void {
    this.#stack = [base];
  }

  all(): readonly ConfigAt[] {
    return this.#stack;
  }
}
