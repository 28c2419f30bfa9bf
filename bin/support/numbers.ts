import { UsageError } from './exit-codes.ts';

/** A parser for commander: a whole number from `min` to `max`. */
export function integer(what: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new UsageError(`${what} must be a whole number from ${min} to ${max}, not "${text}"`);
    }
    return value;
  };
}
