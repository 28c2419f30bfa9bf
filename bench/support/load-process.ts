/** A process that makes load: connects its clients, does one job after the other, ends with its parent. */
import { Client } from '../../lib/client/index.ts';
import { type LoadJob, type LoadResult, runLoad } from './load.ts';

export type ToLoad =
  | {
      readonly type: 'connect';
      readonly worker: number;
      readonly addresses: readonly string[];
      readonly connections: number;
      /** Calls under way at most on each connection. */
      readonly maxOutstanding: number;
    }
  | { readonly type: 'load'; readonly job: LoadJob }
  | { readonly type: 'end' };

export type FromLoad =
  | { readonly type: 'connected' }
  | { readonly type: 'begin' }
  | { readonly type: 'measured' }
  | { readonly type: 'done'; readonly result: LoadResult }
  | { readonly type: 'failed'; readonly message: string };

const tell = (message: FromLoad): void => void process.send!(message);
let clients: Client[] = [];
let worker = 0;

async function obey(message: ToLoad): Promise<void> {
  switch (message.type) {
    case 'connect':
      await Promise.all(clients.map((client) => client.close()));
      worker = message.worker;
      clients = await Promise.all(
        Array.from({ length: message.connections }, () =>
          Client.connect({
            addresses: message.addresses,
            maxOutstanding: message.maxOutstanding,
            timeoutMs: 30_000,
          }),
        ),
      );
      // Each has found the leader and opened its session before anything is measured.
      await Promise.all(clients.map((client) => client.create('bench-warm')));
      tell({ type: 'connected' });
      return;
    case 'load': {
      const result = await runLoad(clients, worker, message.job, {
        begin: () => tell({ type: 'begin' }),
        end: () => tell({ type: 'measured' }),
      });
      tell({ type: 'done', result });
      return;
    }
    case 'end':
      await Promise.all(clients.map((client) => client.close()));
      process.disconnect();
  }
}

process.on('message', (message: ToLoad) => {
  obey(message).catch((error: unknown) =>
    tell({ type: 'failed', message: (error as Error).stack ?? String(error) }),
  );
});
process.on('disconnect', () => process.exit());
