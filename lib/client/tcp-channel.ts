import { connect, type Socket } from 'node:net';
import { parseAddress } from '../../protocol/address.ts';
import { encodePreamble } from '../../protocol/client-codec.ts';
import { intoReadBuffer } from '../transport/read-buffer.ts';
import type { Channel, ChannelEvents } from './channel.ts';

/** A TCP connection to the client port of a node. */
export class TcpChannel implements Channel {
  readonly #address: string;
  #socket: Socket | undefined;
  #corked = false;
  #closed = false;

  constructor(address: string) {
    this.#address = address;
  }

  open(events: ChannelEvents): void {
    const { host, port } = parseAddress(this.#address);
    let failure: Error | undefined;
    const socket = connect({
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 10_000,
      // Answers are decoded before the next read, so nothing is allocated for them.
      onread: intoReadBuffer((bytes) => {
        if (!this.#closed) events.onData(bytes);
      }),
    });
    this.#socket = socket;
    socket.on('connect', () => {
      if (this.#closed) return;
      socket.write(encodePreamble());
      events.onOpen();
    });
    socket.on('drain', () => {
      if (!this.#closed) events.onDrain();
    });
    // 'close' follows each error and is where the channel ends; without a listener an error ends the process.
    socket.on('error', (error) => {
      failure ??= error;
    });
    // The other side will answer nothing any more: half-open connections are of no use here.
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      if (this.#closed) return;
      this.#closed = true;
      events.onClose(failure);
    });
  }

  write(bytes: Uint8Array): void {
    const socket = this.#socket;
    if (socket === undefined || this.#closed) return;
    if (!this.#corked) {
      this.#corked = true;
      socket.cork();
    }
    socket.write(bytes);
  }

  flush(): void {
    if (!this.#corked) return;
    this.#corked = false;
    this.#socket?.uncork();
  }

  get bufferedBytes(): number {
    return this.#socket?.writableLength ?? 0;
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const socket = this.#socket;
    if (socket === undefined) return;
    this.flush();
    // What the kernel has taken is delivered; what it has not may wait for a peer that reads no more.
    if (socket.connecting || socket.writableLength > 0) socket.destroy();
    else socket.destroySoon();
  }
}
