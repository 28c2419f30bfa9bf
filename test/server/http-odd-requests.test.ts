// What the standard allows and few clients send.
import t from 'tap';
import { ask, errorOf } from './support/http.ts';
import { openServer } from './support/open-server.ts';

const JUNK = Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`x-junk-${i}`, String(i)]));

t.test('no header is passed over because many are before it', async (t) => {
  const { port } = await openServer(t);
  const keyed = { body: 'junk,1', headers: { ...JUNK, 'idempotency-key': 'k' } };
  t.equal((await ask(port, '/sPush', keyed)).text, '1\n');
  t.equal((await ask(port, '/sPush', keyed)).text, '1\n', 'it ran once');
  const foreign = { body: 'junk,2', headers: { ...JUNK, origin: 'http://evil.example' } };
  t.equal((await ask(port, '/sPush', foreign)).status, 403);
  const chunked = { body: 'junk,3', headers: { ...JUNK, 'transfer-encoding': 'chunked' } };
  t.equal((await ask(port, '/sPush', chunked)).text, '2\n');
  const large = { body: 'junk,4', headers: { ...JUNK, 'x-large': 'x'.repeat(16_000) } };
  t.match(errorOf(await ask(port, '/sPush', large)), { code: 'TOO_LARGE' }, 'their bytes have a limit');
});
