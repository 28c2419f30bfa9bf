import { setTimeout as delay } from 'node:timers/promises';
import { Client, CordwoodError } from '../../lib/client/index.ts';

const RETRY_MS = 2;

/** Asks again and again until the cluster answers a linearizable read: what is on the stack. */
export async function firstRead(
  addresses: readonly string[],
  stack: string,
  giveUpMs: number,
): Promise<number> {
  const deadlineMs = performance.now() + giveUpMs;
  for (;;) {
    try {
      await using client = await Client.connect({
        addresses,
        connectTimeoutMs: giveUpMs,
        timeoutMs: giveUpMs,
      });
      return await client.size(stack);
    } catch (error) {
      if (!CordwoodError.is(error) || performance.now() > deadlineMs) throw error;
      await delay(RETRY_MS);
    }
  }
}
