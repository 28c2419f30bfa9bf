import { CLIENT_MAGIC, PEER_MAGIC } from '../../protocol/constants.ts';
import { encodeError } from '../../protocol/client-codec.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { nextFrameEnd } from '../../protocol/frame-splitter.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import {
  type Hello,
  MAX_HANDSHAKE_BYTES,
  type PeerIntroduction,
  type Refusal,
} from '../../protocol/peer-handshake.ts';
import type { PeerIdentity } from './transport.ts';

/**
 * Collects the first bytes of a connection: `offsetBytes` of preamble, then one frame. Keeps at most
 * `MAX_HANDSHAKE_BYTES`, whatever is sent.
 */
export class HandshakeBuffer {
  bytes: Buffer = Buffer.alloc(0);
  readonly #offsetBytes: number;
  #overflown = false;

  constructor(offsetBytes: number) {
    this.#offsetBytes = offsetBytes;
  }

  append(chunk: Uint8Array): void {
    const room = this.#offsetBytes + MAX_HANDSHAKE_BYTES - this.bytes.length;
    if (chunk.length > room) this.#overflown = true;
    this.bytes = Buffer.concat([this.bytes, chunk.subarray(0, room)]);
  }

  /**
   * Whether the frame is whole; it then lies in `bytes[offsetBytes, bytes.length)`.
   *
   * @throws CordwoodError `PROTOCOL_ERROR` or `TOO_LARGE`. Nothing may follow the frame before it is answered.
   */
  isWhole(): boolean {
    if (this.bytes.length <= this.#offsetBytes) return false;
    const end = nextFrameEnd(this.bytes, this.#offsetBytes, this.bytes.length, MAX_HANDSHAKE_BYTES);
    if (end === -1) return false;
    if (end !== this.bytes.length || this.#overflown) {
      throw new CordwoodError('PROTOCOL_ERROR', 'bytes behind the handshake that was not answered yet');
    }
    return true;
  }
}

/** Whether `bytes`, as far as they are there, begin like a connection from a peer. */
export function looksLikePeer(bytes: Uint8Array): boolean {
  for (let i = 0; i < PEER_MAGIC.length && i < bytes.length; i++)
    if (bytes[i] !== PEER_MAGIC[i]) return false;
  return true;
}

/** What to tell whoever is not a peer, in its own language: HTTP, the client protocol, or one line of text. */
export function answerForStranger(bytes: Uint8Array, clientAddress: string): Uint8Array {
  const message = `this is the port of cluster peers; clients connect to ${clientAddress || 'the client port'}`;
  if (bytes[0] === CLIENT_MAGIC[0]) {
    const out = new ByteWriter(256);
    encodeError(out, 'PROTOCOL_ERROR', message);
    return out.take();
  }
  const line = `cordwood: ${message}\r\n`;
  const text = Buffer.from(bytes.subarray(0, 8)).toString('latin1');
  if (!/^(GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|TRACE|CONNECT) ?/.test(text)) return Buffer.from(line);
  return Buffer.from(
    'HTTP/1.1 421 Misdirected Request\r\nContent-Type: text/plain; charset=utf-8\r\n' +
      `Content-Length: ${Buffer.byteLength(line)}\r\nConnection: close\r\n\r\n${line}`,
  );
}

/** Why the side that accepted will not talk to the sender of `hello`; null if it will, membership apart. */
export function judgeHello(hello: Hello, identity: PeerIdentity): Refusal | null {
  return judge(hello, identity);
}

/**
 * Two processes on copies of one directory: each would end the other's connections, again and again. Whoever answers
 * where its peers look for the node is the one they go on with; `answering` is where that one says it is.
 */
export function judgeTwin(hello: Hello, answering: string | undefined): Refusal | null {
  const { from, peerAddress } = hello;
  if (answering === undefined || peerAddress === undefined || peerAddress === answering) return null;
  return {
    code: 'WRONG_NODE',
    message:
      `node ${from} answers at ${answering}, and another process that calls itself node ${from} came from ` +
      `${peerAddress}: does it run on a copy of the directory?`,
  };
}

/** What a node is told that is no member. */
export function unknownPeer(hello: Hello, identity: PeerIdentity): Refusal {
  return {
    code: 'UNKNOWN_PEER',
    message: `node ${hello.from} is not a member of this cluster as node ${identity.nodeId} knows it`,
  };
}

/** Why the side that dialled `peer` will not talk to the sender of `welcome`; null if it will. */
export function judgeWelcome(
  welcome: PeerIntroduction,
  identity: PeerIdentity,
  peer: number,
): Refusal | null {
  if (welcome.from === peer) return judge(welcome, identity);
  return { code: 'WRONG_NODE', message: `node ${welcome.from} answers at the address of node ${peer}` };
}

function judge(other: PeerIntroduction, identity: PeerIdentity): Refusal | null {
  if (other.clusterId !== identity.clusterId) {
    return {
      code: 'WRONG_CLUSTER',
      message: `node ${other.from} belongs to cluster ${other.clusterId}, node ${identity.nodeId} to ${identity.clusterId}`,
    };
  }
  if (other.to !== identity.nodeId) {
    return {
      code: 'WRONG_NODE',
      message: `node ${other.from} meant to reach node ${other.to}; this is node ${identity.nodeId}`,
    };
  }
  if (other.from === identity.nodeId) {
    return { code: 'WRONG_NODE', message: `another node calls itself node ${identity.nodeId} too` };
  }
  return null;
}
