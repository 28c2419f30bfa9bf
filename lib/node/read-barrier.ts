import { ByteWriter } from '../../protocol/byte-writer.ts';
import { encodeQuery, frameFlags } from '../../protocol/client-codec.ts';
import { ReadLevel, Status } from '../../protocol/constants.ts';
import { CordwoodError, errorCodeOfStatus } from '../../protocol/errors.ts';
import type { Runtime } from './runtime.ts';
import type { Sink } from './sink.ts';
import type { Requests } from './types.ts';

const NOTHING = new Uint8Array(0);
/** Below it are the answers of machines. */
const FIRST_NODE_STATUS = Status.sessionExpired;

export interface BarrierLimits {
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Resolves when this node has applied everything that was committed anywhere when this was called: a linearizable read
 * that asks for nothing. Whatever the machine makes of an empty query, it was answered behind the barrier. A node whose
 * disk is full takes nothing more: there the answer comes once there is room, and nobody knows when that will be.
 *
 * @throws CordwoodError `NO_LEADER`, `SHUTTING_DOWN`, …: ask again; `TIMEOUT`, `ABORTED`: the limits
 */
export function readBarrier(
  node: Pick<Requests, 'query' | 'detach'>,
  runtime: Runtime,
  { deadlineMs, signal }: BarrierLimits,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let settled = false;
    const settle = (error?: CordwoodError): void => {
      settled = true;
      cancelTimer();
      signal?.removeEventListener('abort', abort);
      if (error === undefined) resolve();
      else reject(error);
    };
    const giveUp = (error: CordwoodError): void => {
      if (settled) return;
      node.detach(sink);
      settle(error);
    };
    const abort = (): void => {
      giveUp(new CordwoodError('ABORTED', 'the call was aborted', { cause: signal?.reason }));
    };
    const late = (): void => {
      giveUp(
        new CordwoodError('TIMEOUT', 'this node does not have everything that was acknowledged in time'),
      );
    };
    const sink: Sink = {
      out: new ByteWriter(),
      flush: () => {
        if (settled) return;
        const status = frameFlags(sink.out.take(), 0);
        const code = status < FIRST_NODE_STATUS ? undefined : errorCodeOfStatus(status);
        settle(code === undefined ? undefined : new CordwoodError(code, 'no leader has confirmed the read'));
      },
    };
    // Input comes before timers: an answer that a turn is about to give says more than that it was late.
    const cancelTimer = runtime.timer(Math.max(0, deadlineMs - runtime.now()), () => {
      runtime.defer(late);
    });
    signal?.addEventListener('abort', abort);
    const frame = new ByteWriter();
    encodeQuery(frame, 1, ReadLevel.linearizable, NOTHING);
    node.query(frame.buffer, 0, frame.position, sink);
  });
}
