import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Lane } from '../../../protocol/constants.ts';

/**
 * What becomes of the bytes on a link:
 * - `open`: they pass.
 * - `hole`: nothing passes and nothing is closed, as when a cable is pulled.
 * - `cut`: connections are closed and new ones refused at once.
 */
export type LinkState = 'open' | 'hole' | 'cut';

/** The way from one node to another. */
export class Link {
  /** With the lane of each. */
  readonly #pairs = new Map<readonly [Socket, Socket], number>();
  readonly #stranded = new Set<readonly [Socket, Socket]>();
  #state: LinkState = 'open';
  delayMs = 0;

  get state(): LinkState {
    return this.#state;
  }

  set state(state: LinkState) {
    this.#state = state;
    if (state === 'cut') for (const pair of this.#stranded) for (const socket of pair) socket.destroy();
    for (const [from, to] of this.#pairs.keys()) {
      if (state === 'cut') {
        from.destroy();
        to.destroy();
      } else if (state === 'hole') {
        from.pause();
        to.pause();
      } else {
        from.resume();
        to.resume();
      }
    }
  }

  /**
   * The connections there are (of one lane only, if it is given) stay open and carry nothing any more, whatever becomes of
   * the link: so it is, for up to two minutes after a hole, with those that TCP has lost something on.
   */
  strand(only?: Lane): void {
    for (const [pair, lane] of this.#pairs) {
      if (only !== undefined && lane !== only) continue;
      for (const socket of pair) socket.pause();
      this.#stranded.add(pair);
      this.#pairs.delete(pair);
    }
  }

  /** Takes the connection of a lane over, with the bytes that were read from it. `from` is paused. */
  carry(from: Socket, lane: number, first: Buffer, targetPort: number): void {
    if (this.#state === 'cut') {
      from.resetAndDestroy();
      return;
    }
    const to = connect({ host: '127.0.0.1', port: targetPort, noDelay: true });
    to.on('error', () => {});
    const pair = [from, to] as const;
    this.#pairs.set(pair, lane);
    for (const [one, other] of [pair, [to, from] as const]) {
      one.on('data', (chunk: Buffer) => {
        this.#pass(chunk, other);
      });
      one.on('end', () => other.end());
      one.on('close', () => {
        this.#pairs.delete(pair);
        this.#stranded.delete(pair);
        other.destroy();
      });
    }
    from.unshift(first);
    if (this.#state === 'open') from.resume();
    else to.pause();
  }

  #pass(chunk: Buffer, to: Socket): void {
    if (this.delayMs === 0) to.write(chunk);
    else setTimeout(() => to.write(chunk), this.delayMs);
  }
}

/** Where peers reach one node: tells by the hello who comes, and hands each to its link. */
export class PeerGate {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(port: number, targetPort: number, linkFrom: (id: number) => Link): Promise<PeerGate> {
    const server = createServer({ noDelay: true }, (socket) => {
      socket.on('error', () => {});
      let head = Buffer.alloc(0);
      const onData = (chunk: Buffer): void => {
        head = Buffer.concat([head, chunk]);
        const from = numberIn(head, FROM);
        const lane = numberIn(head, LANE);
        if (from === undefined || lane === undefined) return;
        socket.off('data', onData);
        socket.pause();
        linkFrom(from).carry(socket, lane, head, targetPort);
      };
      socket.on('data', onData);
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: '127.0.0.1', port }, resolve);
    });
    return new PeerGate(server);
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
  }
}

const FROM = Buffer.from('\xa4from', 'latin1');
const LANE = Buffer.from('\xa4lane', 'latin1');

/** What stands under a key of a hello (PROTOCOL.md, 17.3), a small number; undefined: it has not come yet. */
function numberIn(head: Buffer, key: Buffer): number | undefined {
  const at = head.indexOf(key);
  return at === -1 ? undefined : head[at + key.length];
}
