import { get } from 'node:http';
import type { NodeStatus } from '../../lib/node/types.ts';
import { parseAddress } from '../../protocol/address.ts';

/** More than any answer to a question about a node. */
const MAX_ANSWER_BYTES = 1 << 20;

/** What a node answered; null: nothing that is of use, and `problem` says why. */
export interface Answer<T> {
  readonly answer: T | null;
  readonly problem: string;
}

export interface FoundNode {
  /** Empty: a member whose clients' address none of those that answer knows. */
  readonly address: string;
  /** Of a node that does not answer: by what the others say; null if none says it. */
  readonly id: number | null;
  readonly status: NodeStatus | null;
  readonly problem: string;
}

/** The nodes at `addresses`, and those that they name, in the order of their numbers. */
export async function findNodes(addresses: readonly string[], timeoutMs: number): Promise<FoundNode[]> {
  const first = await Promise.all(addresses.map((address) => askStatus(address, timeoutMs)));
  const asked = new Set(addresses);
  const ids = new Set(first.flatMap(({ status }) => (status === null ? [] : [status.id])));
  const others = new Map<number, string>();
  for (const { status } of first) {
    for (const { id, clientAddress: address } of status?.peers ?? []) {
      if (address !== null && !asked.has(address) && !ids.has(id)) others.set(id, address);
    }
  }
  const more = await Promise.all([...others.values()].map((address) => askStatus(address, timeoutMs)));
  const found = [...first, ...more];
  const named = new Map(
    found.flatMap(({ status }) => status?.peers ?? []).map(({ id, clientAddress }) => [clientAddress, id]),
  );
  const numbered = found.map((one) => ({ ...one, id: one.status?.id ?? named.get(one.address) ?? null }));
  const seen = new Set(numbered.map(({ id }) => id));
  // A node says in its greeting where its clients connect: nobody knows it of one that has not been met.
  const unmet = new Set(found.flatMap(({ status }) => status?.peers ?? []).map(({ id }) => id));
  const unknown = [...unmet]
    .filter((id) => !seen.has(id))
    .map((id) => ({ address: '', id, status: null, problem: 'its address is not known' }));
  return [...numbered, ...unknown].sort((a, b) => (a.id ?? Infinity) - (b.id ?? Infinity) || 0);
}

async function askStatus(address: string, timeoutMs: number): Promise<FoundNode> {
  const { answer, problem } = await askNode<NodeStatus>(address, '/v1/status', timeoutMs);
  return { address, id: null, status: answer, problem };
}

/**
 * Asks over HTTP, so that the answer is that of the node at `address` and of no other: a client moves on to another
 * node where it finds no leader.
 */
export function askNode<T>(address: string, path: string, timeoutMs: number): Promise<Answer<T>> {
  const { host, port } = parseAddress(address);
  return new Promise((resolve) => {
    const fail = (problem: string): void => resolve({ answer: null, problem });
    const request = get({ host, port, path, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_ANSWER_BYTES) request.destroy();
        else chunks.push(chunk);
      });
      response.on('end', () => {
        try {
          if (response.statusCode !== 200) fail(`answers with HTTP ${response.statusCode ?? 0}`);
          else resolve({ answer: JSON.parse(Buffer.concat(chunks).toString()) as T, problem: '' });
        } catch {
          fail('is no Cordwood node');
        }
      });
      response.on('error', () => fail('went away'));
    });
    // Of the whole answer: what is no node may send a little now and then for ever.
    const timer = setTimeout(() => {
      fail('does not answer');
      request.destroy();
    }, timeoutMs);
    request.on('close', () => clearTimeout(timer));
    request.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
  });
}
