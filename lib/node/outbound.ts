import { ByteWriter } from '../../protocol/byte-writer.ts';
import { Lane } from '../../protocol/constants.ts';
import { encodeMessage } from '../../protocol/peer-codec.ts';
import type { Message, NodeId } from '../core/types.ts';
import type { LogStore } from '../log/log-store.ts';
import type { Transport } from '../transport/transport.ts';
import { AppendOutbox, type Unreadable } from './append-outbox.ts';
import type { EntryCache } from './entry-cache.ts';

/** The core's messages on their way out: laid out here, each on the lane where it belongs. */
export class Outbound {
  readonly #cache: EntryCache;
  readonly #log: LogStore;
  readonly #transport: Transport;
  readonly #unreadable: Unreadable;
  readonly #appends = new Map<NodeId, AppendOutbox>();
  /** Each message is laid out here; the transport copies it. */
  readonly #frame = new ByteWriter(256);

  constructor(cache: EntryCache, log: LogStore, transport: Transport, unreadable: Unreadable) {
    this.#cache = cache;
    this.#log = log;
    this.#transport = transport;
    this.#unreadable = unreadable;
  }

  /** False: it cannot leave, for there is no connection. */
  send(to: NodeId, message: Message): boolean {
    if (message.kind === 'append') {
      this.#appendsTo(to).push(message);
      return true;
    }
    const out = this.#frame;
    out.clear();
    encodeMessage(message, out);
    // Behind every ack of an earlier life: what the leader forgets must not be told to it again (quarantine.ts).
    const lane = message.kind === 'appendAck' || message.kind === 'lostLog' ? Lane.data : Lane.control;
    return this.#transport.send(to, lane, [out.buffer.subarray(0, out.position)]);
  }

  /** The connection to `peer` is lost: appends that wait belong to nothing any more. */
  lost(peer: NodeId): void {
    this.#appends.get(peer)?.clear();
  }

  /** Leadership is over, and with it every append that waits. */
  clear(): void {
    for (const appends of this.#appends.values()) appends.clear();
  }

  #appendsTo(peer: NodeId): AppendOutbox {
    let appends = this.#appends.get(peer);
    if (appends === undefined) {
      appends = new AppendOutbox(peer, this.#cache, this.#log, this.#transport, this.#unreadable);
      this.#appends.set(peer, appends);
    }
    return appends;
  }
}
