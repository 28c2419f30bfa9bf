import { readU32 } from '../../protocol/byte-writer.ts';
import { encodePreamble, frameFlags, frameKind, frameRequestId } from '../../protocol/client-codec.ts';
import { FRAME_HEADER_BYTES, Kind } from '../../protocol/constants.ts';
import type { Channel, ChannelEvents } from '../../lib/client/channel.ts';

/** Of a long frame only so much is shown. */
const SHOWN_BYTES = 96;

const KIND_NAMES = new Map<number, string>(Object.entries(Kind).map(([name, kind]) => [kind, name]));

/** A channel that shows every frame that passes through it, both ways. */
export class TappedChannel implements Channel {
  readonly #channel: Channel;
  readonly #write: (text: string) => void;
  readonly #sent: FrameDump;
  readonly #received: FrameDump;

  constructor(channel: Channel, write: (text: string) => void) {
    this.#channel = channel;
    this.#write = write;
    this.#sent = new FrameDump('>', write);
    this.#received = new FrameDump('<', write);
  }

  open(events: ChannelEvents): void {
    this.#channel.open({
      onOpen: () => {
        // Sent by the channel itself.
        this.#write(dump('>', 'preamble', Buffer.from(encodePreamble())));
        events.onOpen();
      },
      onData: (chunk) => {
        this.#received.push(chunk);
        events.onData(chunk);
      },
      onDrain: () => events.onDrain(),
      onClose: (error) => events.onClose(error),
    });
  }

  write(bytes: Uint8Array): void {
    this.#sent.push(bytes);
    this.#channel.write(bytes);
  }

  flush(): void {
    this.#channel.flush();
  }

  get bufferedBytes(): number {
    return this.#channel.bufferedBytes;
  }

  pause(): void {
    this.#channel.pause();
  }

  resume(): void {
    this.#channel.resume();
  }

  close(): void {
    this.#channel.close();
  }
}

/** Cuts one direction of a connection into frames and writes each as a line of its fields and lines of its bytes. */
export class FrameDump {
  readonly #mark: string;
  readonly #write: (text: string) => void;
  #pending: Buffer = Buffer.alloc(0);

  constructor(mark: string, write: (text: string) => void) {
    this.#mark = mark;
    this.#write = write;
  }

  push(chunk: Uint8Array): void {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    while (this.#pending.length >= 4) {
      const end = readU32(this.#pending, 0) + 4;
      if (this.#pending.length < end) return;
      const frame = this.#pending.subarray(0, end);
      this.#pending = this.#pending.subarray(end);
      this.#write(dump(this.#mark, end < FRAME_HEADER_BYTES ? 'no frame' : headline(frame), frame));
    }
  }
}

function dump(mark: string, what: string, bytes: Buffer): string {
  const lines = [`${mark} ${what}, ${bytes.length} bytes`];
  for (let at = 0; at < Math.min(bytes.length, SHOWN_BYTES); at += 16) {
    const row = bytes.subarray(at, Math.min(at + 16, bytes.length, SHOWN_BYTES));
    const hex = [...row].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = row.toString('latin1').replace(/[^\x20-\x7e]/g, '.');
    lines.push(`${mark}   ${at.toString(16).padStart(4, '0')}  ${hex.padEnd(47)}  ${text}`);
  }
  if (bytes.length > SHOWN_BYTES) lines.push(`${mark}   …`);
  return `${lines.join('\n')}\n`;
}

function headline(frame: Buffer): string {
  const kind = frameKind(frame, 0);
  const name = KIND_NAMES.get(kind) ?? `kind 0x${kind.toString(16)}`;
  const flags = frameFlags(frame, 0);
  return `${name}${flags === 0 ? '' : ` (${flags})`} #${frameRequestId(frame, 0)}`;
}
