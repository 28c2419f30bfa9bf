import { connect } from 'node:net';

import { parseAddress } from '../../protocol/address.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { nextFrameEnd } from '../../protocol/frame-splitter.ts';
import {
  decodeIntroduction,
  encodeIntroduce,
  type Introduction,
  MAX_INTRODUCTION_BYTES,
} from '../../protocol/introduction.ts';

/**
 * Asks whoever listens at a peer address who it is.
 *
 * @throws CordwoodError `UNREACHABLE` if nobody answers in time, `PROTOCOL_ERROR` if it is no cluster peer, `ABORTED`
 *
 * @example
 * const { clusterId, nodeId } = await askIntroduction('127.0.0.1:12379', { timeoutMs: 2000 });
 */
export function askIntroduction(
  address: string,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
): Promise<Introduction> {
  const { timeoutMs, signal } = options;
  return new Promise((resolve, reject) => {
    const socket = connect({ ...parseAddress(address), noDelay: true });
    let bytes: Buffer = Buffer.alloc(0);
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.destroy();
      settle();
    };
    const fail = (error: Error): void => {
      finish(() => {
        reject(error);
      });
    };
    const unreachable = (why: string): void => {
      fail(new CordwoodError('UNREACHABLE', `no node answers at the peer address ${address}: ${why}`));
    };
    const onAbort = (): void => {
      fail(new CordwoodError('ABORTED', 'the call was aborted', { cause: signal?.reason }));
    };
    const timer = setTimeout(() => {
      unreachable(`nothing within ${timeoutMs} ms`);
    }, timeoutMs);
    if (signal?.aborted === true) {
      onAbort();
      return;
    }
    signal?.addEventListener('abort', onAbort);
    socket.on('error', (error: NodeJS.ErrnoException) => {
      unreachable(error.code ?? error.message);
    });
    socket.on('close', () => {
      unreachable('it closed the connection');
    });
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      try {
        const end = nextFrameEnd(bytes, 0, bytes.length, MAX_INTRODUCTION_BYTES);
        if (end === -1) return;
        const introduction = decodeIntroduction(bytes, 0, end);
        finish(() => {
          resolve(introduction);
        });
      } catch (error) {
        const why = (error as Error).message;
        const message = `what answers at ${address} is no peer of a cluster: ${why}`;
        fail(new CordwoodError('PROTOCOL_ERROR', message, { cause: error }));
      }
    });
    socket.write(encodeIntroduce());
  });
}
