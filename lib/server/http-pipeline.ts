import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ServerLimits } from './limits.ts';

/** With so many requests unanswered a connection is not read from. */
const MAX_UNANSWERED = 16;

export type CarryOut = (incoming: IncomingMessage, outgoing: ServerResponse) => void;

interface Exchange {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
}

/** The pipelines of all HTTP connections of a gateway. */
export class Pipelines {
  readonly carryOut: CarryOut;
  readonly limits: ServerLimits;
  /** Requests behind the first of their connection: 25 bytes on the wire each, a few KiB here. */
  waiting = 0;
  readonly #all = new WeakMap<Duplex, Pipeline>();

  constructor(carryOut: CarryOut, limits: ServerLimits) {
    this.carryOut = carryOut;
    this.limits = limits;
  }

  add(incoming: IncomingMessage, outgoing: ServerResponse): void {
    this.of(incoming.socket).add(incoming, outgoing);
  }

  of(socket: Duplex): Pipeline {
    let pipeline = this.#all.get(socket);
    if (pipeline === undefined) {
      pipeline = new Pipeline(socket, this);
      this.#all.set(socket, pipeline);
    }
    return pipeline;
  }
}

/**
 * The requests of one HTTP connection that have no answer yet. They are carried out one at a time: at once, all their
 * replies would pile up in memory behind a client that reads none.
 *
 * Node parses whatever was read, and one read of 64 KiB holds over two thousand requests. So the connection is paused
 * while many wait: what one read brought waits here, the rest with the client.
 */
class Pipeline {
  readonly #socket: Duplex;
  readonly #all: Pipelines;
  /** The first is being carried out. */
  readonly #unanswered: Exchange[] = [];
  #waiting = 0;
  #held = false;
  #readingSinceMs = -Infinity;
  /** Requests so far, and the latest: what comes too late is that one's body, or the headers of the next. */
  #seen = 0;
  #latest: IncomingMessage | null = null;
  #lastWords: string | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: Duplex, all: Pipelines) {
    this.#socket = socket;
    this.#all = all;
    // Node resumes a connection whenever a body is asked for or an answer has left.
    socket.on('resume', () => {
      if (this.#held) socket.pause();
    });
    // Once a CONNECT has come Node tells no answer that there is room again: a backup before it would wait for ever.
    socket.on('drain', () => this.#unanswered[0]?.outgoing.emit('drain'));
    socket.once('close', () => {
      clearTimeout(this.#timer);
      this.#forget();
    });
  }

  get idle(): boolean {
    return this.#unanswered.length === 0;
  }

  add(incoming: IncomingMessage, outgoing: ServerResponse): void {
    this.#seen++;
    this.#latest = incoming;
    if (this.#lastWords !== null) return;
    this.#unanswered.push({ incoming, outgoing });
    this.#count();
    if (this.#unanswered.length === 1) this.#start();
    if (this.#all.waiting > this.#all.limits.maxWaitingRequests) this.#socket.destroy();
  }

  /**
   * No further request can come: says why behind the answers that are due, and closes. Said at once it would be taken
   * for the answer to a request that is under way: "not_applied", of a push that is carried out.
   */
  fail(lastWords: string): void {
    if (this.#lastWords !== null) return;
    this.#lastWords = lastWords;
    if (this.#latest?.complete === false) {
      // The rest of this one is what cannot come. It waits for its turn or its body, and is not carried out; if it did
      // not wait for its body, it was answered before.
      const last = this.#unanswered.at(-1);
      if (last?.incoming === this.#latest && !last.outgoing.headersSent) this.#unanswered.pop();
      else this.#lastWords = '';
      this.#count();
    }
    if (this.idle) this.#end();
  }

  /** As `fail`, unless the delay is not the client's: Node's clock also runs while nothing is read. */
  late(lastWords: string): void {
    const { headersTimeoutMs, requestTimeoutMs } = this.#all.limits;
    if (!this.#held && performance.now() - this.#readingSinceMs >= headersTimeoutMs) {
      this.fail(lastWords);
      return;
    }
    // Node says it once for each request.
    const number = this.#latest?.complete === false ? this.#seen : this.#seen + 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const arrived = this.#seen > number || (this.#seen === number && this.#latest!.complete);
      if (!arrived) this.late(lastWords);
    }, requestTimeoutMs);
  }

  #start(): void {
    const { incoming, outgoing } = this.#unanswered[0]!;
    outgoing.once('close', () => this.#next());
    this.#all.carryOut(incoming, outgoing);
  }

  #next(): void {
    this.#unanswered.shift();
    this.#count();
    // The client has gone, or was told that this answer is the last one.
    if (!this.#socket.writable) this.#forget();
    else if (!this.idle) this.#start();
    else if (this.#lastWords !== null) this.#end();
  }

  #count(): void {
    const waiting = Math.max(0, this.#unanswered.length - 1);
    this.#all.waiting += waiting - this.#waiting;
    this.#waiting = waiting;
    if (this.#held === this.#unanswered.length >= MAX_UNANSWERED) return;
    this.#held = !this.#held;
    if (this.#held) this.#socket.pause();
    else {
      this.#readingSinceMs = performance.now();
      this.#socket.resume();
    }
  }

  #forget(): void {
    this.#unanswered.length = 0;
    this.#count();
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.#socket.end(this.#lastWords!);
    // Closing with unread bytes would send a reset, which can overtake the last words: read on and listen to none of it.
    this.#socket.resume();
    this.#timer = setTimeout(() => this.#socket.destroy(), this.#all.limits.closeGraceMs);
  }
}
