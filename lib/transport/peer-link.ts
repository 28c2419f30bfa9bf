import { type Address, parseAddress } from '../../protocol/address.ts';
import { Lane } from '../../protocol/constants.ts';
import type { PeerWelcome } from '../../protocol/peer-handshake.ts';
import { type LaneHost, OutgoingLane } from './lane.ts';
import type { TransportContext } from './transport-options.ts';

/** What a link tells the transport. */
export interface LinkHost {
  up(peer: number, lane: Lane, welcome: PeerWelcome): void;
  down(peer: number, lane: Lane): void;
  refused(peer: number): void;
  rejected(peer: number, code: string, message: string): void;
  turnedAway(peer: number, code: string, message: string): void;
}

/** The outgoing connections to one peer, one for each lane. */
export class PeerLink implements LaneHost {
  readonly peer: number;
  readonly #host: LinkHost;
  readonly #lanes: readonly [control: OutgoingLane, data: OutgoingLane, bulk: OutgoingLane];
  #address: Address;
  /** One loss is reported once, though it ends several connections. */
  #refusalTold = false;

  constructor(context: TransportContext, host: LinkHost, peer: number, peerAddress: string) {
    this.peer = peer;
    this.#host = host;
    this.#address = parseAddress(peerAddress);
    const lane = (kind: Lane): OutgoingLane => new OutgoingLane(context, this, peer, kind, this.#address);
    this.#lanes = [lane(Lane.control), lane(Lane.data), lane(Lane.bulk)];
  }

  lane(lane: Lane): OutgoingLane {
    return this.#lanes[lane];
  }

  setAddress(peerAddress: string): void {
    const address = parseAddress(peerAddress);
    if (address.host === this.#address.host && address.port === this.#address.port) return;
    this.#address = address;
    for (const lane of this.#lanes) lane.setAddress(address);
  }

  /** The peer has dialled us, so it is there: dial it too. */
  nudge(): void {
    for (const lane of this.#lanes) lane.nudge();
  }

  async close(graceMs: number): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close(graceMs)));
  }

  up(lane: Lane, welcome: PeerWelcome): void {
    this.#refusalTold = false;
    this.#host.up(this.peer, lane, welcome);
  }

  down(lane: Lane): void {
    this.#host.down(this.peer, lane);
  }

  refused(): void {
    if (this.#refusalTold) return;
    this.#refusalTold = true;
    this.#host.refused(this.peer);
  }

  rejected(code: string, message: string): void {
    this.#host.rejected(this.peer, code, message);
  }

  turnedAway(code: string, message: string): void {
    this.#host.turnedAway(this.peer, code, message);
  }
}
