import { headerBytes, mapLength, msgpackEnd, readUint } from './msgpack.ts';

/** Longest nonce, in bytes as msgpack. */
const MAX_NONCE_BYTES = 64;

/** What a client asks for when it opens a session. */
export interface OpenRequest {
  /** Undefined: the default. */
  readonly ttlMs: number | undefined;
  /** The nonce's msgpack bytes as latin1; empty: none. */
  readonly nonce: string;
}

/**
 * Reads the body of `openSession`: nothing, or a msgpack map `{ttlMs?: uint, nonce?: any scalar}`; other keys are
 * ignored. Undefined: malformed.
 */
export function readOpenRequest(bytes: Uint8Array, start: number, end: number): OpenRequest | undefined {
  let ttlMs: number | undefined;
  let nonce = '';
  if (start === end) return { ttlMs, nonce };
  const pairs = mapLength(bytes, start, end);
  if (pairs < 0 || msgpackEnd(bytes, start, end, 8) !== end) return undefined;
  let at = start + headerBytes(bytes[start]!);
  for (let i = 0; i < pairs; i++) {
    const valueAt = msgpackEnd(bytes, at, end, 8);
    const after = msgpackEnd(bytes, valueAt, end, 8);
    const nil = bytes[valueAt] === 0xc0;
    if (isText(bytes, at, valueAt, 'ttlMs') && !nil) {
      ttlMs = readUint(bytes, valueAt, after);
      if (ttlMs < 0) return undefined;
    } else if (isText(bytes, at, valueAt, 'nonce') && !nil) {
      if (after - valueAt > MAX_NONCE_BYTES) return undefined;
      nonce = Buffer.from(bytes.subarray(valueAt, after)).toString('latin1');
    }
    at = after;
  }
  return { ttlMs, nonce };
}

/** Whether the msgpack value in `bytes[start, end)` is the short ASCII str `text`. */
function isText(bytes: Uint8Array, start: number, end: number, text: string): boolean {
  if (end - start !== text.length + 1 || bytes[start] !== (0xa0 | text.length)) return false;
  for (let i = 0; i < text.length; i++) if (bytes[start + 1 + i] !== text.charCodeAt(i)) return false;
  return true;
}
