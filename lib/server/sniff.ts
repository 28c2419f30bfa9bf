import { CLIENT_MAGIC, PEER_MAGIC } from '../../protocol/constants.ts';

/** What a connection speaks, by its first bytes. `more`: cannot be told yet. */
export type Speech = 'more' | 'binary' | 'http' | 'tls' | 'http2' | 'peer' | 'other';

/** Ample for every answer but `more`: the longest thing looked for is `OPTIONS ` or `CONNECT ` behind an empty line. */
export const SNIFF_BYTES = 10;

const METHODS: readonly Uint8Array[] = [
  'GET ',
  'POST ',
  'PUT ',
  'HEAD ',
  'DELETE ',
  'OPTIONS ',
  'PATCH ',
  'TRACE ',
  'CONNECT ',
].map((method) => Buffer.from(method, 'latin1'));
/** Before a request it means nothing (RFC 9112, 2.2). */
const EMPTY_LINE = Buffer.from('\r\n', 'latin1');
const HTTP2 = Buffer.from('PRI * HT', 'latin1');
/** Handshake record, major version 3. */
const TLS = Uint8Array.of(0x16, 0x03);

/**
 * Tells the protocol of a connection from the first bytes it sent.
 *
 * Only a known method with a space behind it counts as HTTP: a person who types `PUSH 1 10` into a raw connection
 * gets the line that explains the port, not a parser's 400.
 */
export function sniff(bytes: Uint8Array): Speech {
  const request = withoutEmptyLine(bytes);
  let open = bytes.length < EMPTY_LINE.length && startsWith(bytes, EMPTY_LINE) === 'maybe';
  for (const [speech, prefix] of request === bytes ? PREFIXES : HTTP_PREFIXES) {
    const match = startsWith(request, prefix);
    if (match === 'yes') return speech;
    if (match === 'maybe') open = true;
  }
  return open ? 'more' : 'other';
}

/** The first bytes of an HTTP request, without the empty line that may be before it. */
export function withoutEmptyLine<Bytes extends Uint8Array>(bytes: Bytes): Bytes {
  return startsWith(bytes, EMPTY_LINE) === 'yes' ? (bytes.subarray(EMPTY_LINE.length) as Bytes) : bytes;
}

const HTTP_PREFIXES = METHODS.map((method): readonly [Speech, Uint8Array] => ['http', method]);
const PREFIXES: readonly (readonly [Speech, Uint8Array])[] = [
  ['binary', CLIENT_MAGIC],
  ...HTTP_PREFIXES,
  ['tls', TLS],
  ['http2', HTTP2],
  ['peer', PEER_MAGIC],
];

function startsWith(bytes: Uint8Array, prefix: Uint8Array): 'yes' | 'maybe' | 'no' {
  const length = Math.min(bytes.length, prefix.length);
  for (let i = 0; i < length; i++) if (bytes[i] !== prefix[i]) return 'no';
  return bytes.length >= prefix.length ? 'yes' : 'maybe';
}

const HINTS: Readonly<Record<string, string>> = {
  tls: ' It does not speak TLS: use http:// instead of https://.',
  http2: ' HTTP/2 without TLS is not spoken: use HTTP/1.1.',
  peer: ' This is the port for clients; nodes talk to each other on the ports given to --cluster.',
  more: ' Nothing it understands arrived in time.',
};

/** The one line that a connection gets that speaks something else. */
export function refusal(speech: Speech): string {
  const hint = HINTS[speech] ?? '';
  return `cordwood: this port speaks HTTP and the Cordwood binary protocol (see PROTOCOL.md).${hint} Try: curl http://HOST:PORT/\n`;
}
