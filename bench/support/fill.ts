import type { Client } from '../../lib/client/index.ts';
import { ValueMaker } from './values.ts';

const MAX_MANY_BYTES = 256 << 10;

/** Pushes `count` distinct values, as fast as the cluster takes them: one by one, or many in a command. */
export async function fill(
  client: Client,
  stack: string,
  worker: number,
  count: number,
  valueBytes: number,
  how: 'push' | 'many',
): Promise<void> {
  const values = new ValueMaker(worker, valueBytes);
  let failure: unknown;
  const failed = (error: unknown): void => {
    failure ??= error;
  };
  if (how === 'push') {
    for (let i = 0; i < count && failure === undefined; i++) {
      values.next();
      client.push(stack, values.bytes).catch(failed);
      // Looked at now and then: a turn of the event loop for each push would cost more than the push.
      if (i % 64 === 0 && client.saturated) await client.ready();
    }
  } else {
    const batch = Math.max(1, Math.floor(MAX_MANY_BYTES / (valueBytes + 8)));
    for (let left = count; left > 0 && failure === undefined; left -= batch) {
      const many = Array.from({ length: Math.min(batch, left) }, () => {
        values.next();
        return values.bytes.slice();
      });
      client.pushMany(stack, many).catch(failed);
      if (client.outstanding >= 8) await client.drain();
    }
  }
  await client.drain();
  if (failure !== undefined) throw failure as Error;
}
