import type { Channel, ChannelEvents } from '../client/channel.ts';
import { LocalChannel } from '../client/local-channel.ts';
import { OVERWRITTEN, SimPipe, type Place, type SimNetwork } from './sim-network.ts';
import { peerOf } from './sim-addresses.ts';
import type { SimNode } from './sim-node.ts';

/** A client's connection over the simulated network to a node: the real frames, both ways. */
export class SimChannel implements Channel {
  readonly #network: SimNetwork;
  readonly #place: Place;
  readonly #node: SimNode | undefined;
  #events: ChannelEvents | null = null;
  #there: SimPipe | null = null;
  #back: SimPipe | null = null;
  #server: LocalChannel | null = null;
  #out: Uint8Array[] = [];

  /** `place` is where the client is; `find` gives the node of an id. */
  constructor(network: SimNetwork, place: Place, address: string, find: (id: number) => SimNode | undefined) {
    this.#network = network;
    this.#place = place;
    this.#node = find(peerOf(address));
  }

  open(events: ChannelEvents): void {
    const network = this.#network;
    const node = this.#node;
    this.#events = events;
    network.events.after(network.delayMs() * 2, () => {
      if (this.#events === null) return;
      const raft = node?.raft;
      if (!node || !raft || !network.connects(this.#place, node.id)) {
        this.#end(new Error('the connection is refused'));
        return;
      }
      const lost = (): void => {
        this.#end(new Error('the connection is lost'));
      };
      this.#there = new SimPipe(network, this.#place, node.id, lost);
      this.#back = new SimPipe(network, node.id, this.#place, lost);
      events.onOpen();
      node.run(() => {
        if (this.#events !== null) this.#accept(node, new LocalChannel(raft));
      });
    });
  }

  write(bytes: Uint8Array): void {
    if (this.#events !== null) this.#out.push(Uint8Array.from(bytes));
  }

  flush(): void {
    const chunks = this.#out;
    if (chunks.length === 0 || this.#there === null) return;
    this.#out = [];
    this.#there.deliver(() => {
      this.#node!.run(() => {
        if (this.#server === null || this.#there?.ended !== false) return;
        for (const chunk of chunks) this.#server.write(chunk);
        this.#server.flush();
      });
    });
  }

  /** Everything is copied at once. */
  get bufferedBytes(): number {
    return 0;
  }

  pause(): void {
    this.#server?.pause();
  }

  resume(): void {
    this.#server?.resume();
  }

  close(): void {
    this.#events = null;
    this.#tearDown();
  }

  #accept(node: SimNode, server: LocalChannel): void {
    this.#server = server;
    server.open({
      onOpen: () => undefined,
      onData: (chunk) => {
        const bytes = Uint8Array.from(chunk);
        this.#back?.deliver(() => {
          this.#events?.onData(bytes);
          bytes.fill(OVERWRITTEN);
        });
      },
      onDrain: () => undefined,
      onClose: (error) => {
        this.#network.events.after(this.#network.delayMs(), () => {
          this.#end(error ?? new Error(`node ${node.id} closed the connection`));
        });
      },
    });
  }

  #end(error: Error): void {
    const events = this.#events;
    this.#events = null;
    this.#tearDown();
    events?.onClose(error);
  }

  #tearDown(): void {
    this.#there?.end(true);
    this.#back?.end(true);
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    this.#network.events.after(this.#network.delayMs(), () => {
      this.#node?.run(() => {
        server.close();
      });
    });
  }
}
