import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { readBuffer, readShared } from '../../lib/transport/read-buffer.ts';

/** Two ends of a connection; `accepted` has read nothing yet. */
async function pair(t: Test): Promise<{ dialled: Socket; accepted: Socket }> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const dialled = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [accepted] = (await once(server, 'connection')) as [Socket];
  server.close();
  t.teardown(() => {
    dialled.destroy();
    accepted.destroy();
  });
  return { dialled, accepted };
}

/** `count` bytes that no other `seed` has in this order. */
function bytesOf(seed: number, count: number): Buffer {
  const bytes = Buffer.alloc(count);
  for (let i = 0, x = seed; i < count; i++) {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    bytes[i] = x >>> 16;
  }
  return bytes;
}

t.test('many connections are read into one buffer, and none sees what another was sent', async (t) => {
  const sent = [1, 2, 3, 4].map((seed) => bytesOf(seed, 3 << 20));
  const received = await Promise.all(
    sent.map(async (bytes) => {
      const { dialled, accepted } = await pair(t);
      const chunks: Buffer[] = [];
      const shared = readShared(accepted, (chunk) => {
        t.equal(chunk.buffer, readBuffer.buffer, 'read into the shared buffer');
        chunks.push(Buffer.from(chunk));
      });
      t.ok(shared, 'this version of Node is known inside');
      dialled.end(bytes);
      await once(accepted, 'end');
      return Buffer.concat(chunks);
    }),
  );
  received.forEach((bytes, i) => t.ok(bytes.equals(sent[i]!), `connection ${i}`));
});

t.test('takes over from data events: what was sent before and after arrives once, in order', async (t) => {
  const { dialled, accepted } = await pair(t);
  const chunks: Buffer[] = [];
  dialled.write('head');
  await new Promise<void>((resolve) =>
    accepted.once('data', (head: Buffer) => {
      chunks.push(head);
      accepted.pause();
      readShared(accepted, (chunk) => chunks.push(Buffer.from(chunk)));
      accepted.resume();
      resolve();
    }),
  );
  dialled.end(bytesOf(5, 1 << 20));
  await once(accepted, 'end');
  t.ok(Buffer.concat(chunks).equals(Buffer.concat([Buffer.from('head'), bytesOf(5, 1 << 20)])));
});

t.test('a socket that is paused is not read, and loses nothing', async (t) => {
  const { dialled, accepted } = await pair(t);
  const bytes = bytesOf(6, 4 << 20);
  const chunks: Buffer[] = [];
  let paused = false;
  readShared(accepted, (chunk) => {
    t.notOk(paused, 'nothing arrives while it is paused');
    chunks.push(Buffer.from(chunk));
    paused = true;
    accepted.pause();
    setImmediate(() => {
      paused = false;
      accepted.resume();
    });
  });
  dialled.end(bytes);
  await once(accepted, 'end');
  t.ok(Buffer.concat(chunks).equals(bytes));
});

t.test('where Node looks different inside, data events serve', async (t) => {
  const { dialled, accepted } = await pair(t);
  // Without a handle that knows user buffers.
  const handle = (accepted as unknown as { _handle: object })._handle;
  Object.defineProperty(handle, 'useUserBuffer', { value: undefined });
  const chunks: Buffer[] = [];
  t.notOk(readShared(accepted, (chunk) => chunks.push(chunk)));
  dialled.end('all of it');
  await once(accepted, 'end');
  t.equal(Buffer.concat(chunks).toString(), 'all of it');
});

t.test('answers leave on a socket that is read so', async (t) => {
  const { dialled, accepted } = await pair(t);
  readShared(accepted, (chunk) => accepted.write(Buffer.from(chunk)));
  accepted.on('end', () => accepted.end());
  dialled.end(bytesOf(7, 1 << 20));
  t.ok((await buffer(dialled)).equals(bytesOf(7, 1 << 20)));
});
