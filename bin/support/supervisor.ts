import type { Requests } from '../../lib/node/types.ts';
import type { FromNode, ToNode } from '../local/messages.ts';

/**
 * The other end of `cordwood local up`, for a node that runs under it: tells it what happens and takes its orders.
 * Without a supervisor all of this does nothing.
 */
export class Supervisor {
  readonly #supervised: boolean = process.send !== undefined;
  #node: Requests | null = null;
  #stop: (reason: string, transfer: boolean) => void = () => {};

  /** The node is up. */
  attach(node: Requests): void {
    if (!this.#supervised) return;
    this.#node = node;
    node.onLeader((leader) =>
      this.#tell({ type: 'leader', leader: leader?.id ?? null, term: node.status().term }),
    );
    this.#tell({ type: 'ready' });
    this.#tell({ type: 'leader', leader: node.leader?.id ?? null, term: node.status().term });
  }

  onStop(stop: (reason: string, transfer: boolean) => void): void {
    if (!this.#supervised) return;
    this.#stop = stop;
    process.on('message', this.#onMessage);
    // A supervisor that was killed leaves no node behind.
    const orphaned = (): void => stop('the supervisor is gone', false);
    if (process.connected) process.once('disconnect', orphaned);
    else orphaned();
  }

  failed(message: string): void {
    this.#tell({ type: 'failed', message });
  }

  /** Nothing of this keeps the process alive any longer. */
  detach(): void {
    if (!this.#supervised) return;
    process.off('message', this.#onMessage);
    process.removeAllListeners('disconnect');
    if (process.connected) process.disconnect();
  }

  readonly #onMessage = (message: ToNode): void => {
    if (message.type === 'stop') this.#stop('asked to', message.transfer);
    else if (this.#node !== null)
      this.#tell({ type: 'status', seq: message.seq, status: this.#node.status() });
  };

  #tell(message: FromNode): void {
    if (!this.#supervised || !process.connected) return;
    process.send!(message, undefined, {}, () => {
      // A channel that closes meanwhile is the supervisor's end, which 'disconnect' reports.
    });
  }
}
