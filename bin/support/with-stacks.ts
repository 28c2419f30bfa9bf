import { Client } from '../../lib/client/index.ts';
import { stackCalls } from '../../lib/server/stack-calls.ts';
import type { CallOptions, StackCalls } from '../../lib/server/stack-calls.ts';
import { clusterAddresses } from './addresses.ts';
import type { StackOptions } from './stack-options.ts';

/** Connects, does `work`, and closes whatever happens. */
export async function withStacks(
  options: StackOptions,
  work: (stacks: StackCalls, call: CallOptions) => Promise<void>,
): Promise<void> {
  const timeoutMs = options.timeout;
  const client = await Client.connect({
    addresses: clusterAddresses(options.addr),
    timeoutMs,
    connectTimeoutMs: timeoutMs,
  });
  try {
    await work(stackCalls(client), { timeoutMs });
  } finally {
    await client.close();
  }
}
