import { connect } from 'node:net';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { encodeOpenSession, encodePreamble } from '../../protocol/client-codec.ts';
import { parseAddress } from '../../protocol/address.ts';
import { Kind } from '../../protocol/constants.ts';
import { FrameSplitter } from '../../protocol/frame-splitter.ts';

const TTL_MS = 3_600_000;
const MAX_ANSWER_BYTES = 1 << 20;

/** Opens sessions that nobody uses afterwards, over one connection to the node at `address`. */
export async function openSessions(address: string, count: number): Promise<void> {
  const socket = connect({ ...parseAddress(address), noDelay: true });
  const splitter = new FrameSplitter(MAX_ANSWER_BYTES);
  let answered = 0;
  const done = new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the node closed the connection')));
    socket.on('data', (chunk) => {
      splitter.push(chunk, (bytes, start) => {
        if (bytes[start + 4] === Kind.response && ++answered === count) resolve();
      });
    });
  });
  const out = new ByteWriter();
  for (let i = 0; i < count; i++) encodeOpenSession(out, i + 1, { ttlMs: TTL_MS, nonce: i + 1 });
  socket.write(encodePreamble());
  socket.write(out.take());
  await done;
  socket.destroy();
}
