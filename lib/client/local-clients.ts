import type { Requests } from '../node/types.ts';

interface Closable {
  close(): unknown;
}

/**
 * The open clients of each node in this process. A node's promise keeps what waits for it until the node ends: with a
 * wait for each client the closed ones would be kept, too, each with its buffers.
 */
const clientsOf = new WeakMap<Requests, Set<Closable>>();

/** Closes `client` when the node has closed; the returned function ends that. */
export function closeWithNode(node: Requests, client: Closable): () => void {
  let clients = clientsOf.get(node);
  if (clients === undefined) {
    const all = new Set<Closable>();
    clientsOf.set(node, (clients = all));
    void node.closed?.then(() => {
      // Whoever comes later waits anew, and is closed at once.
      clientsOf.delete(node);
      for (const open of all) open.close();
    });
  }
  clients.add(client);
  return () => {
    clients.delete(client);
  };
}
