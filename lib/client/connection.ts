import { readU32, setU64 } from '../../protocol/byte-writer.ts';
import {
  decodeErrorBody,
  decodeLeader,
  decodeWelcome,
  encodePing,
  frameFlags,
  frameKind,
  frameRequestId,
  type LeaderHint,
  type Welcome,
} from '../../protocol/client-codec.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { FRAME_HEADER_BYTES, Kind } from '../../protocol/constants.ts';
import { CordwoodError, type ErrorCode, ErrorCodes } from '../../protocol/errors.ts';
import { FrameSplitter, nextFrameEnd } from '../../protocol/frame-splitter.ts';
import type { Call } from './call.ts';
import type { Channel } from './channel.ts';
import { RequestRing } from './request-ring.ts';

export interface ConnectionEvents {
  onWelcome(connection: Connection, welcome: Welcome): void;
  /** The call is off the wire; the body is `bytes[start, end)`, valid only during the call. */
  onAnswer(
    connection: Connection,
    call: Call,
    status: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void;
  /** The answer to the call is larger than is taken; the call is off the wire. */
  onTooLarge(connection: Connection, call: Call, bytes: number): void;
  onLeader(connection: Connection, leader: LeaderHint | null): void;
  onDrain(connection: Connection): void;
  /** The connection has ended by itself; the calls on it are still in `requests`. */
  onEnd(connection: Connection, error: CordwoodError): void;
}

/** No node gives an answer of more than 64 MiB: what announces more than this is none. */
const LARGEST_ANSWER_BYTES = 128 << 20;
/** As large as a length field can say. */
const ANY_BYTES = 2 ** 32 + 3;

/** One connection to one node: handshake, requests out, answers in. Whatever comes in, it throws nothing. */
export class Connection {
  readonly address: string;
  readonly requests: RequestRing = new RequestRing();
  /** What the node said when it was ready; null before. */
  welcome: Welcome | null = null;
  closed = false;
  /** It has answered something, or lasted. */
  proven = false;
  /** When it became the one that requests go to. */
  activeSince: number = Infinity;
  /** Another connection has taken over; this one only waits for its answers. */
  retiring = false;
  /** Silent for too long with requests on it. */
  stalled = false;
  /** Retiring, and silent for too long: no new call waits for those that are left on it. */
  abandoned = false;
  /** The node says that it stops. */
  leaving = false;
  /** Since when nothing was heard, or nothing was asked. */
  quietSince = 0;
  /** A ping is on its way since then. */
  pinged = false;

  readonly #channel: Channel;
  readonly #events: ConnectionEvents;
  readonly #now: () => number;
  readonly #splitter: FrameSplitter;
  /** Frames not handed to the channel yet: `#run[#runStart, #runEnd)`. */
  #run: Buffer | null = null;
  #runStart = 0;
  #runEnd = 0;
  /** Bytes still to come of an answer that is passed over. */
  #passOver = 0;
  readonly #consume = (bytes: Uint8Array, start: number, end: number): number =>
    this.#read(bytes, start, end);

  constructor(
    address: string,
    channel: Channel,
    maxResponseBytes: number,
    now: () => number,
    events: ConnectionEvents,
  ) {
    this.address = address;
    this.#channel = channel;
    this.#events = events;
    this.#now = now;
    this.#splitter = new FrameSplitter(maxResponseBytes);
  }

  open(): void {
    this.#channel.open({
      onOpen: () => {},
      onData: (chunk) => {
        this.#receive(chunk);
      },
      onDrain: () => {
        if (!this.closed) this.#events.onDrain(this);
      },
      onClose: (error) => {
        this.fail(
          new CordwoodError('CONNECTION_LOST', `connection to ${this.address} lost: ${reasonOf(error)}`, {
            cause: error,
          }),
        );
      },
    });
  }

  get bufferedBytes(): number {
    return this.#channel.bufferedBytes;
  }

  /** Queues the call's frame, its changing fields written in place; `flush` sends it. */
  send(call: Call): void {
    if (this.requests.size === 0) this.quietSince = this.#now();
    const requestId = this.requests.add(call);
    const { buffer, view } = call.chunk.writer;
    const at = call.offset;
    view.setUint32(at + 8, requestId, true);
    if (call.session !== null) {
      view.setUint32(at + 12, call.seq - call.session.lowest, true);
      setU64(view, at + 16, call.session.id);
      setU64(view, at + 24, call.seq);
    }
    call.connection = this;
    if (buffer !== this.#run || at !== this.#runEnd) {
      this.#writeRun();
      this.#run = buffer;
      this.#runStart = at;
    }
    this.#runEnd = at + call.bytes;
  }

  flush(): void {
    this.#writeRun();
    this.#channel.flush();
  }

  /** Asks for a sign of life; anything that comes back is one. */
  ping(): void {
    if (this.pinged) return;
    this.pinged = true;
    const out = new ByteWriter(FRAME_HEADER_BYTES);
    encodePing(out, 0);
    this.#channel.write(out.take());
    this.#channel.flush();
  }

  /** Writes one frame that waits for no answer. */
  writeLast(frame: Uint8Array): void {
    this.#channel.write(frame);
    this.#channel.flush();
  }

  /** Takes a call off the wire whose answer nobody waits for any more. */
  forget(call: Call): void {
    this.requests.take(call.requestId);
    call.connection = null;
  }

  /** Ends the connection and says nothing. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#run = null;
    this.#channel.close();
  }

  fail(error: CordwoodError): void {
    if (this.closed) return;
    this.close();
    this.#events.onEnd(this, error);
  }

  #writeRun(): void {
    const run = this.#run;
    if (run === null) return;
    this.#run = null;
    this.#channel.write(run.subarray(this.#runStart, this.#runEnd));
    this.#runEnd = -1;
  }

  #receive(chunk: Uint8Array): void {
    if (this.closed) return;
    this.quietSince = this.#now();
    this.pinged = this.stalled = false;
    try {
      if (this.#passOver > 0) chunk = this.#behindLarge(chunk);
      this.#splitter.pushRuns(chunk, this.#consume);
    } catch (error) {
      // Before the welcome a length that is too large is that of something else than a frame: "HTTP", for one.
      const foreign = this.welcome === null && CordwoodError.is(error) && error.code === 'TOO_LARGE';
      this.fail(
        CordwoodError.is(error) && !foreign
          ? error
          : new CordwoodError(
              'PROTOCOL_ERROR',
              `answers of ${this.address} cannot be read${foreign ? ': is it the client port of a node?' : ''}`,
              foreign ? {} : { cause: error },
            ),
      );
    }
  }

  #read(bytes: Uint8Array, start: number, end: number): number {
    const max = this.#splitter.maxFrameBytes;
    let at = start;
    for (
      let next = nextFrameEnd(bytes, at, end, ANY_BYTES);
      next !== -1;
      next = nextFrameEnd(bytes, at, end, ANY_BYTES)
    ) {
      if (next - at > max) this.#leaveLarge(bytes, at);
      else if (bytes[at + 4] === Kind.response && this.welcome !== null) {
        const call = this.requests.take(readU32(bytes, at + 8));
        // Nobody waits for the answers of calls that timed out, nor for those of pings.
        if (call !== null) {
          call.connection = null;
          this.#events.onAnswer(this, call, frameFlags(bytes, at), bytes, at + FRAME_HEADER_BYTES, next);
        }
      } else {
        this.#readOther(bytes, at, next);
      }
      // A listener may have closed the client.
      if (this.closed) return end;
      at = next;
    }
    // Of less than a header nothing can be said; the splitter ends the connection then, and the call is asked again.
    if (end - at >= FRAME_HEADER_BYTES && readU32(bytes, at) + 4 > max) {
      this.#passOver = this.#leaveLarge(bytes, at) - (end - at);
      return end;
    }
    return at;
  }

  /**
   * Ends the call whose answer is too large, and nothing else; returns how large it is. Were the connection ended, the
   * other calls on it would be lost, and this one asked again, with the same answer, until its time is up.
   *
   * @throws CordwoodError `TOO_LARGE` for what is no answer
   */
  #leaveLarge(bytes: Uint8Array, at: number): number {
    const frameBytes = readU32(bytes, at) + 4;
    if (this.welcome === null || bytes[at + 4] !== Kind.response || frameBytes > LARGEST_ANSWER_BYTES)
      nextFrameEnd(bytes, at, at + 4, this.#splitter.maxFrameBytes);
    const call = this.requests.take(readU32(bytes, at + 8));
    if (call !== null) {
      call.connection = null;
      this.#events.onTooLarge(this, call, frameBytes);
    }
    return frameBytes;
  }

  #behindLarge(chunk: Uint8Array): Uint8Array {
    const passed = Math.min(this.#passOver, chunk.length);
    this.#passOver -= passed;
    return chunk.subarray(passed);
  }

  #readOther(bytes: Uint8Array, at: number, end: number): void {
    const kind = frameKind(bytes, at);
    if (kind === Kind.error) throw toldError(this.address, bytes, at, end);
    if (this.welcome === null) {
      if (kind !== Kind.welcome) throw new CordwoodError('PROTOCOL_ERROR', `${this.address} sent no welcome`);
      this.welcome = decodeWelcome(bytes, at, end);
      this.#events.onWelcome(this, this.welcome);
    } else if (kind === Kind.leader) {
      this.#events.onLeader(this, decodeLeader(bytes, at, end));
    } else if (KNOWN_KINDS.has(kind)) {
      // Any other kind is for clients newer than this one (PROTOCOL.md, 1).
      throw new CordwoodError(
        'PROTOCOL_ERROR',
        `${this.address} sent a frame of kind ${kind} (request ${frameRequestId(bytes, at)}) that no node sends`,
      );
    }
  }
}

const KNOWN_KINDS: ReadonlySet<number> = new Set(Object.values(Kind));

/** What an error frame says, as an error. */
function toldError(address: string, bytes: Uint8Array, at: number, end: number): CordwoodError {
  const { code, message } = decodeErrorBody(bytes, at, end);
  const known = (ErrorCodes as readonly string[]).includes(code);
  return new CordwoodError(
    known ? (code as ErrorCode) : 'PROTOCOL_ERROR',
    `${address} closed the connection: ${message}`,
  );
}

/** Why a connection ended, in a word if the system has one for it: for lists that name the address already. */
export function whyEnded({ message, cause }: CordwoodError): string {
  return cause instanceof Error ? ((cause as NodeJS.ErrnoException).code ?? cause.message) : message;
}

function reasonOf(error: Error | undefined): string {
  if (error === undefined) return 'the other side closed it';
  // An AggregateError of several failed addresses has an empty message.
  return error.message !== '' ? error.message : ((error as NodeJS.ErrnoException).code ?? error.name);
}
