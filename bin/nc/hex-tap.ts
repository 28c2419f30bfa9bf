import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { readU32 } from '../../protocol/byte-writer.ts';
import { frameFlags, frameKind, frameRequestId } from '../../protocol/client-codec.ts';
import { FRAME_HEADER_BYTES, Kind, PREAMBLE_BYTES } from '../../protocol/constants.ts';

/** Of a long frame only so much is shown. */
const SHOWN_BYTES = 96;

const KIND_NAMES = new Map<number, string>(Object.entries(Kind).map(([name, kind]) => [kind, name]));

/**
 * Shows every frame of every connection this process opens from now on, both ways, by listening to what Node says of
 * its sockets; the client library knows nothing of it. The returned function ends that.
 */
export function tapFrames(write: (text: string) => void): () => void {
  const onSocket = (message: unknown): void => tapSocket((message as { socket: Socket }).socket, write);
  subscribe('net.client.socket', onSocket);
  return () => unsubscribe('net.client.socket', onSocket);
}

function tapSocket(socket: Socket, write: (text: string) => void): void {
  const sent = new FrameDump('>', PREAMBLE_BYTES, write);
  const received = new FrameDump('<', 0, write);
  // A listener of our own on 'data' would set the stream flowing before its owner listens.
  const emit = socket.emit.bind(socket) as (event: string | symbol, ...args: unknown[]) => boolean;
  socket.emit = (event: string | symbol, ...args: unknown[]): boolean => {
    if (event === 'data') received.push(args[0] as Buffer);
    return emit(event, ...args);
  };
  const send = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  socket.write = (...args: unknown[]): boolean => {
    if (args[0] instanceof Uint8Array) sent.push(args[0]);
    return send(...args);
  };
}

/** Cuts one direction of a connection into frames and writes each as a line of its fields and lines of its bytes. */
export class FrameDump {
  readonly #mark: string;
  readonly #write: (text: string) => void;
  /** What comes before the first frame. */
  #preambleBytes: number;
  #pending: Buffer = Buffer.alloc(0);

  constructor(mark: string, preambleBytes: number, write: (text: string) => void) {
    this.#mark = mark;
    this.#preambleBytes = preambleBytes;
    this.#write = write;
  }

  push(chunk: Uint8Array): void {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    if (this.#preambleBytes > 0) {
      if (this.#pending.length < this.#preambleBytes) return;
      this.#show('preamble', this.#take(this.#preambleBytes));
      this.#preambleBytes = 0;
    }
    while (this.#pending.length >= 4) {
      const end = readU32(this.#pending, 0) + 4;
      if (this.#pending.length < end) return;
      const frame = this.#take(end);
      this.#show(end < FRAME_HEADER_BYTES ? 'no frame' : headline(frame), frame);
    }
  }

  #take(bytes: number): Buffer {
    const taken = this.#pending.subarray(0, bytes);
    this.#pending = this.#pending.subarray(bytes);
    return taken;
  }

  #show(what: string, bytes: Buffer): void {
    const lines = [`${this.#mark} ${what}, ${bytes.length} bytes`];
    for (let at = 0; at < Math.min(bytes.length, SHOWN_BYTES); at += 16) {
      const row = bytes.subarray(at, Math.min(at + 16, bytes.length, SHOWN_BYTES));
      const hex = [...row].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
      const text = row.toString('latin1').replace(/[^\x20-\x7e]/g, '.');
      lines.push(`${this.#mark}   ${at.toString(16).padStart(4, '0')}  ${hex.padEnd(47)}  ${text}`);
    }
    if (bytes.length > SHOWN_BYTES) lines.push(`${this.#mark}   …`);
    this.#write(`${lines.join('\n')}\n`);
  }
}

function headline(frame: Buffer): string {
  const kind = frameKind(frame, 0);
  const name = KIND_NAMES.get(kind) ?? `kind 0x${kind.toString(16)}`;
  const flags = frameFlags(frame, 0);
  return `${name}${flags === 0 ? '' : ` (${flags})`} #${frameRequestId(frame, 0)}`;
}
