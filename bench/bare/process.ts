/** One process of the bare pipeline: a leader, a follower or a load, as its parent says. */
import { runFollower } from './follower.ts';
import { runLeader } from './leader.ts';
import { type BareJob, type BareResult, runBareLoad } from './load.ts';

export type ToBare =
  | { readonly type: 'follow'; readonly path: string }
  | { readonly type: 'lead'; readonly path: string; readonly followers: readonly number[] }
  | { readonly type: 'load'; readonly job: BareJob };

export type FromBare =
  | { readonly type: 'port'; readonly port: number }
  | { readonly type: 'begin' }
  | { readonly type: 'measured' }
  | { readonly type: 'done'; readonly result: BareResult }
  | { readonly type: 'failed'; readonly message: string };

const tell = (message: FromBare): void => void process.send!(message);

async function obey(message: ToBare): Promise<void> {
  if (message.type === 'load') {
    const result = await runBareLoad(
      message.job,
      () => tell({ type: 'begin' }),
      () => tell({ type: 'measured' }),
    );
    tell({ type: 'done', result });
    return;
  }
  const { path } = message;
  const { port } =
    message.type === 'lead' ? await runLeader(path, message.followers) : await runFollower(path);
  tell({ type: 'port', port });
}

process.on('message', (message: ToBare) => {
  obey(message).catch((error: unknown) => tell({ type: 'failed', message: String(error) }));
});
process.on('disconnect', () => process.exit());
