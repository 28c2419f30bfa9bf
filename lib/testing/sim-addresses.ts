import type { Member, NodeId } from '../core/types.ts';

/** How a simulated node is written in the book of members. */
export function memberOf(id: NodeId): Member {
  return { id, peerAddress: `node-${id}:9000` };
}

export function clientAddressOf(id: NodeId): string {
  return `node-${id}:8000`;
}

/** The node at an address of a peer or client port. */
export function peerOf(address: string): NodeId {
  return Number(/^node-(\d+):/.exec(address)?.[1] ?? 0);
}
