/** A process with one node in it and, when asked, the load too: how an application that embeds the engine uses it. */
import { letHeapGrow } from '../../bin/support/heap-growth.ts';
import { Client, RaftNode, StackMachine } from '../../lib/index.ts';
import { type LoadJob, type LoadResult, runLoad } from './load.ts';

export type ToEmbedded =
  | {
      readonly type: 'start';
      readonly id: number;
      readonly cluster: readonly string[];
      readonly dataDir: string;
      readonly logAheadBytes: number;
    }
  | { readonly type: 'load'; readonly worker: number; readonly job: LoadJob }
  | { readonly type: 'end' };

export type FromEmbedded =
  | { readonly type: 'started' }
  | { readonly type: 'leads'; readonly leads: boolean }
  | { readonly type: 'begin' }
  | { readonly type: 'measured' }
  | { readonly type: 'done'; readonly result: LoadResult; readonly size: number }
  | { readonly type: 'failed'; readonly message: string };

const tell = (message: FromEmbedded): void => void process.send!(message);
let node: RaftNode | null = null;

async function obey(message: ToEmbedded): Promise<void> {
  switch (message.type) {
    case 'start': {
      const { id, cluster, dataDir, logAheadBytes } = message;
      node = await RaftNode.start({ id, cluster, dataDir, logAheadBytes, machine: new StackMachine() });
      node.onLeader((leader) => tell({ type: 'leads', leads: leader?.id === id }));
      // As `cordwood start` does.
      letHeapGrow();
      tell({ type: 'started' });
      tell({ type: 'leads', leads: node.leader?.id === id });
      return;
    }
    case 'load': {
      const client = Client.local(node!, { maxOutstanding: 60_000, timeoutMs: 30_000 });
      const result = await runLoad([client], message.worker, message.job, {
        begin: () => tell({ type: 'begin' }),
        end: () => tell({ type: 'measured' }),
      });
      const size = await client.size(message.job.stack);
      await client.drop(message.job.stack);
      await client.close();
      tell({ type: 'done', result, size });
      return;
    }
    case 'end':
      await node?.close({ transfer: false });
      process.disconnect();
  }
}

process.on('message', (message: ToEmbedded) => {
  obey(message).catch((error: unknown) =>
    tell({ type: 'failed', message: (error as Error).stack ?? String(error) }),
  );
});
process.on('disconnect', () => process.exit());
