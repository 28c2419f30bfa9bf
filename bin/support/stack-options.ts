import type { Command } from 'commander';
import { Limits } from '../../protocol/constants.ts';
import { UsageError } from './exit-codes.ts';
import { integer } from './numbers.ts';

/** Options of every command that talks to a cluster. */
export interface StackOptions {
  readonly addr?: string;
  readonly json?: boolean;
  readonly timeout: number;
}

export function stackOptions(command: Command): Command {
  return command
    .option('--addr <list>', 'nodes to talk to, host:port,… (default: $CORDWOOD_ADDR, or the local cluster)')
    .option('--timeout <ms>', 'how long to try', integer('--timeout', 1, 3_600_000), 5_000)
    .option('--json', 'print JSON');
}

/** A parser for commander: an idempotency key. */
export function idempotencyKey(text: string): string {
  const bytes = Buffer.byteLength(text);
  if (bytes > 0 && bytes <= Limits.maxIdempotencyKeyBytes) return text;
  throw new UsageError(`--key must have 1 to ${Limits.maxIdempotencyKeyBytes} bytes, not ${bytes}`);
}
