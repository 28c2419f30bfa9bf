import { Random } from '../core/random.ts';
import { SafetyViolation } from './core-checker.ts';

/** How a story is told: the same for those of cores and those of whole nodes. */
export interface StoryOptions {
  /** Called with a line for everything that happens. */
  readonly trace?: ((line: string) => void) | undefined;
  /** Numbers of the faults that take place; the others are left out. Default: all. */
  readonly faults?: ReadonlySet<number> | undefined;
}

/** A story that went wrong. */
export class StoryFailure extends SafetyViolation {
  /** Faults that took place until then, those left out included. */
  readonly faults: number;

  constructor(message: string, options: ErrorOptions & { readonly faults: number }) {
    super(message, options);
    this.faults = options.faults;
  }
}

/**
 * What disturbs a story: fault after fault at random times. Each fault draws from dice of its own, so that leaving one
 * out does not change what the others do: that is what makes failures shrink.
 */
export class FaultPlan {
  /** Faults so far, those left out included. */
  count = 0;
  readonly #seed: number;
  readonly #pace: Random;
  readonly #chosen: ReadonlySet<number> | undefined;

  constructor(seed: number, chosen: ReadonlySet<number> | undefined) {
    this.#seed = seed;
    this.#pace = new Random(seed ^ 0x3c6ef372);
    this.#chosen = chosen;
  }

  /** Time until the next fault. */
  pauseMs(least: number, most: number): number {
    return this.#pace.between(least, most);
  }

  /** Dice for the next fault; null: it is left out. */
  next(): Random | null {
    const number = ++this.count;
    if (this.#chosen?.has(number) === false) return null;
    return diceFor(this.#seed, number);
  }
}

/** Dice that depend on nothing but a seed and a number. */
export function diceFor(seed: number, number: number): Random {
  return new Random(Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(number, 0xc2b2ae35));
}

export function pick<T>(dice: Random, choices: readonly T[]): T {
  return choices[Math.floor(dice.next() * choices.length)]!;
}

/** One of the choices, each as often as its weight says. */
export function pickWeighted<T extends { readonly weight: number }>(dice: Random, choices: readonly T[]): T {
  let at = dice.next() * choices.reduce((sum, { weight }) => sum + weight, 0);
  return choices.find(({ weight }) => (at -= weight) < 0) ?? choices[choices.length - 1]!;
}
