import type { Socket } from 'node:net';

/** As much as the kernel mostly has at once; four times what Node asks for by itself. */
const READ_BYTES = 256 << 10;

/**
 * The memory that this thread's sockets are read into, all of them: a socket is read and what it said is dealt with
 * before the next one is read. So it stays in the processor's caches, and no read makes garbage.
 */
export const readBuffer: Buffer = Buffer.allocUnsafeSlow(READ_BYTES);

/** What `net.Socket` keeps its `onread` option under. */
interface Slots {
  readonly buffer: symbol;
  readonly callback: symbol;
}

/** As `net.connect` takes it. */
interface OnRead {
  readonly buffer: Buffer;
  readonly callback: (count: number) => boolean;
}

interface Internals {
  readonly _handle?: { useUserBuffer?(buffer: Uint8Array): void } | null;
  [slot: symbol]: unknown;
}

let slots: Slots | null = null;

/**
 * The `onread` option of a `net.connect` whose connection is read into the shared buffer. The bytes are valid only
 * during the call.
 *
 * @example
 * connect({ host, port, onread: intoReadBuffer((bytes) => decode(bytes)) });
 */
export function intoReadBuffer(onBytes: (bytes: Buffer) => void): OnRead {
  return {
    buffer: readBuffer,
    callback: (count) => {
      onBytes(readBuffer.subarray(0, count));
      return true;
    },
  };
}

/**
 * Calls `onBytes` with all that arrives on an accepted connection from now on, in place of `data` events. The bytes are
 * valid only during the call.
 *
 * `net.connect` has an option for that (`onread`), the sockets that a server accepts do not. So what that option does is
 * done from outside: 7 % more throughput at 256 and 1,000 outstanding, 10 % at 10,000 (docs/performance.md). Where Node
 * looks different inside, `data` events serve as well.
 *
 * @returns whether the shared buffer is read into.
 *
 * @example
 * server.on('connection', (socket) => readShared(socket, (bytes) => splitter.push(bytes, onFrame)));
 */
export function readShared(socket: Socket, onBytes: (bytes: Buffer) => void): boolean {
  const internals = socket as unknown as Internals;
  slots ??= findSlots(internals);
  const handle = internals._handle;
  if (slots === null || typeof handle?.useUserBuffer !== 'function') {
    socket.on('data', onBytes);
    return false;
  }
  const { buffer, callback } = intoReadBuffer(onBytes);
  internals[slots.buffer] = buffer;
  internals[slots.callback] = callback;
  handle.useUserBuffer(readBuffer);
  return true;
}

function findSlots(socket: Internals): Slots | null {
  const named = (name: string): symbol | undefined =>
    Object.getOwnPropertySymbols(socket).find(({ description }) => description === name);
  const buffer = named('kBuffer');
  const callback = named('kBufferCb');
  return buffer === undefined || callback === undefined ? null : { buffer, callback };
}
