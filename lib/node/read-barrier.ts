import { ByteWriter } from '../../protocol/byte-writer.ts';
import { encodeQuery, frameFlags } from '../../protocol/client-codec.ts';
import { ReadLevel, Status } from '../../protocol/constants.ts';
import { CordwoodError, errorCodeOfStatus } from '../../protocol/errors.ts';
import type { Sink } from './sink.ts';
import type { Requests } from './types.ts';

const NOTHING = new Uint8Array(0);
/** Below it are the answers of machines. */
const FIRST_NODE_STATUS = Status.sessionExpired;

/**
 * Resolves when this node has applied everything that was committed anywhere when this was called: a linearizable read
 * that asks for nothing. Whatever the machine makes of an empty query, it was answered behind the barrier.
 *
 * @throws CordwoodError `NO_LEADER`, `SHUTTING_DOWN`, …: ask again
 */
export function readBarrier(node: Pick<Requests, 'query'>): Promise<void> {
  return new Promise((resolve, reject) => {
    const sink: Sink = {
      out: new ByteWriter(),
      flush: () => {
        const status = frameFlags(sink.out.take(), 0);
        const code = status < FIRST_NODE_STATUS ? undefined : errorCodeOfStatus(status);
        if (code === undefined) resolve();
        else reject(new CordwoodError(code, 'no leader has confirmed the read'));
      },
    };
    const frame = new ByteWriter();
    encodeQuery(frame, 1, ReadLevel.linearizable, NOTHING);
    node.query(frame.buffer, 0, frame.position, sink);
  });
}
