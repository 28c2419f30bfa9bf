import { inspect } from 'node:util';
import { CordwoodError } from '../../protocol/errors.ts';

/** What the value of one option must be. */
export interface Rule {
  /** As it stands behind "must be". */
  readonly form: string;
  readonly fits: (value: unknown) => boolean;
  readonly required?: boolean;
}

/** A rule for every option: one that is added without a rule does not compile. */
export type Rules<Options> = { readonly [Name in keyof Options]-?: Rule };

/** The longest time that Node's timers can count; they take a longer one for 1 ms. */
export const MAX_TIMER_MS = 0x7fffffff;

/**
 * Checks options against their rules. Types do not reach everywhere, and a misspelt option would have no effect.
 *
 * @param prefix stands before the names, if these are options within an option
 * @throws CordwoodError `BAD_OPTION`, naming the option
 */
export function checkOptions<Options extends object>(
  options: Options,
  rules: Rules<Options>,
  prefix = '',
): void {
  if (!isObject(options)) throw new CordwoodError('BAD_OPTION', 'the options must be an object');
  for (const name of Object.keys(options))
    if (!Object.hasOwn(rules, name)) throw unknownOption(name, Object.keys(rules), prefix);
  for (const [name, rule] of Object.entries<Rule>(rules)) {
    const value: unknown = options[name as keyof Options];
    if (value === undefined && rule.required !== true) continue;
    if (!rule.fits(value)) throw badOption(prefix + name, `must be ${rule.form}, not ${shown(value)}`);
  }
}

export function badOption(name: string, fault: string, cause?: unknown): CordwoodError {
  return new CordwoodError('BAD_OPTION', `${name} ${fault}`, { cause });
}

export function required(rule: Rule): Rule {
  return { ...rule, required: true };
}

export function wholeNumber(min: number, max: number = Number.MAX_SAFE_INTEGER): Rule {
  const range = max === Number.MAX_SAFE_INTEGER ? `from ${min} up` : `from ${min} to ${max}`;
  return {
    form: `a whole number ${range}`,
    fits: (value) => Number.isInteger(value) && (value as number) >= min && (value as number) <= max,
  };
}

/** Of at least `min` texts. */
export function texts(form: string, min: number, max: number = Infinity): Rule {
  const fits = (value: unknown): boolean =>
    Array.isArray(value) && value.length >= min && value.length <= max && value.every(isText);
  return { form, fits };
}

/** Anything that has these methods. */
export function having(form: string, ...methods: readonly string[]): Rule {
  return {
    form: `${form}, with ${methods.map((method) => `${method}()`).join(', ')}`,
    fits: (value) =>
      isObject(value) && methods.every((method) => typeof Reflect.get(value, method) === 'function'),
  };
}

export const text: Rule = { form: 'a string', fits: isText };
export const filledText: Rule = {
  form: 'a string that is not empty',
  fits: (value) => isText(value) && value !== '',
};
export const flag: Rule = { form: 'true or false', fits: (value) => typeof value === 'boolean' };
export const callback: Rule = { form: 'a function', fits: (value) => typeof value === 'function' };
export const object: Rule = { form: 'an object', fits: isObject };
export const positive: Rule = { form: 'a positive number', fits: (value) => isNumber(value) && value > 0 };
export function positiveUpTo(max: number): Rule {
  return {
    form: `a positive number up to ${max}`,
    fits: (value) => positive.fits(value) && (value as number) <= max,
  };
}
export const positiveOrInfinite: Rule = {
  form: 'a positive number, or Infinity',
  fits: (value) => typeof value === 'number' && value > 0,
};
export const notNegative: Rule = {
  form: 'a number from 0 up',
  fits: (value) => isNumber(value) && value >= 0,
};
export const timeMs: Rule = {
  form: `a positive number of milliseconds, at most ${MAX_TIMER_MS}`,
  fits: (value) => isNumber(value) && value > 0 && value <= MAX_TIMER_MS,
};
export const signal: Rule = having('an AbortSignal', 'addEventListener');
export const logger: Rule = having('a logger', 'debug', 'info', 'warn', 'error');

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isNumber(value: unknown): value is number {
  return Number.isFinite(value);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** Most mistakes are in upper and lower case, or a unit that is missing. */
function unknownOption(name: string, known: readonly string[], prefix: string): CordwoodError {
  const meant = known.find((other) => other.toLowerCase().startsWith(name.toLowerCase()));
  return badOption(
    prefix + name,
    `is no option${meant === undefined ? '' : `: is ${prefix}${meant} meant?`}`,
  );
}

function shown(value: unknown): string {
  return inspect(value, { depth: -1, maxStringLength: 40, breakLength: Infinity });
}
