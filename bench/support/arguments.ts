import { parseArgs } from 'node:util';

/** `--name=value` arguments of a benchmark, read with its table of defaults. */
export class Arguments<Name extends string> {
  readonly #values: Readonly<Record<string, string | undefined>>;

  /**
   * `defaults` also says which names there are. `--help` prints `usage` and ends the process; so does a mistake.
   */
  constructor(usage: string, defaults: Readonly<Record<Name, string>>) {
    const options: Record<string, { type: 'string' }> = {};
    for (const name of Object.keys(defaults)) options[name] = { type: 'string' };
    try {
      // A flag without a value, `--json`, stands for `--json=1`.
      const args = process.argv
        .slice(2)
        .map((arg) => (/^--[a-z-]+$/.test(arg) && arg !== '--help' ? `${arg}=1` : arg));
      const { values } = parseArgs({
        args,
        options: { ...options, help: { type: 'boolean' } },
        strict: true,
      });
      if (values['help'] === true) {
        process.stdout.write(`${usage.trim()}\n`);
        process.exit(0);
      }
      this.#values = { ...defaults, ...(values as Record<string, string>) };
    } catch (error) {
      process.stderr.write(`${(error as Error).message}\n\n${usage.trim()}\n`);
      process.exit(2);
    }
  }

  text(name: Name): string {
    return this.#values[name] ?? '';
  }

  flag(name: Name): boolean {
    return this.text(name) === '1';
  }

  list(name: Name): string[] {
    return this.text(name)
      .split(',')
      .filter((part) => part !== '');
  }

  number(name: Name, min = 0): number {
    return toNumber(name, this.text(name), min);
  }

  numbers(name: Name, min = 0): number[] {
    return this.list(name).map((part) => toNumber(name, part, min));
  }
}

function toNumber(name: string, text: string, min: number): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < min) {
    process.stderr.write(`--${name} takes a number from ${min} up, not "${text}"\n`);
    process.exit(2);
  }
  return value;
}
