import { get } from 'node:http';
import type { NodeStatus } from '../../lib/node/types.ts';
import type { NodeReport } from '../local/messages.ts';
import { nodeTable } from '../local/table.ts';
import { parseAddress } from '../../protocol/address.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { clusterAddresses } from './addresses.ts';
import { ExitCode, oneLine } from './exit-codes.ts';
import type { StackOptions } from './stack-options.ts';

/** More than any answer to `GET /v1/status`. */
const MAX_STATUS_BYTES = 1 << 20;

interface Found {
  readonly address: string;
  /** Of a node that does not answer: by what the others say; null if none says it. */
  readonly id: number | null;
  readonly status: NodeStatus | null;
  readonly problem: string;
}

/** `cordwood status`. Resolves to the exit status. */
export async function showStatus(options: StackOptions): Promise<number> {
  const found = await askAll(clusterAddresses(options.addr), options.timeout);
  const led = found.some(({ status }) => status !== null && status.leader !== null);
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify({ nodes: found })}\n`);
  } else {
    process.stdout.write(`${nodeTable(found.map(report))}\n`);
    if (!led) process.stderr.write('cordwood: no node knows a leader\n');
  }
  return led ? ExitCode.ok : ExitCode.notApplied;
}

/** `cordwood members`. Resolves to the exit status. */
export async function showMembers(options: StackOptions): Promise<number> {
  const found = await askAll(clusterAddresses(options.addr), options.timeout);
  const known = found.flatMap(({ status }) => (status === null ? [] : [status]));
  // The leader's configuration is the newest; without one, that of the node that has seen most.
  known.sort(
    (a, b) => Number(b.role === 'leader') - Number(a.role === 'leader') || b.lastIndex - a.lastIndex,
  );
  const [best] = known;
  if (best === undefined) throw new CordwoodError('CONNECTION_LOST', 'no node answers');
  const { config } = best;
  const members = config.members.map(({ id, peerAddress }) => ({
    id,
    peerAddress,
    clientAddress: clientAddress(best, id),
    kind: config.voters.includes(id) || config.outgoing.includes(id) ? 'voter' : 'learner',
    leader: id === best.leader,
  }));
  if (options.json === true)
    process.stdout.write(`${JSON.stringify({ clusterId: best.clusterId, members })}\n`);
  else {
    for (const member of members) {
      const role = member.leader ? 'leader' : '';
      const parts = [member.id, member.kind, member.peerAddress, member.clientAddress ?? '-', role];
      process.stdout.write(
        `${parts
          .map((part) => oneLine(String(part)))
          .join('\t')
          .trimEnd()}\n`,
      );
    }
  }
  return ExitCode.ok;
}

function clientAddress(status: NodeStatus, id: number): string | null {
  if (status.id === id) return status.clientAddress;
  return status.peers.find((peer) => peer.id === id)?.clientAddress ?? null;
}

/** Asks the nodes at `addresses`, and those that they name. */
async function askAll(addresses: readonly string[], timeoutMs: number): Promise<Found[]> {
  const first = await Promise.all(addresses.map((address) => ask(address, timeoutMs)));
  const asked = new Set(addresses);
  const ids = new Set(first.flatMap(({ status }) => (status === null ? [] : [status.id])));
  const others = new Map<number, string>();
  for (const { status } of first) {
    for (const { id, clientAddress: address } of status?.peers ?? []) {
      if (address !== null && !asked.has(address) && !ids.has(id)) others.set(id, address);
    }
  }
  const more = await Promise.all([...others.values()].map((address) => ask(address, timeoutMs)));
  const found = [...first, ...more];
  const named = new Map(
    found.flatMap(({ status }) => status?.peers ?? []).map(({ id, clientAddress }) => [clientAddress, id]),
  );
  return found
    .map((one) => ({ ...one, id: one.status?.id ?? named.get(one.address) ?? null }))
    .sort((a, b) => (a.id ?? Infinity) - (b.id ?? Infinity) || 0);
}

function ask(address: string, timeoutMs: number): Promise<Found> {
  const { host, port } = parseAddress(address);
  return new Promise((resolve) => {
    const fail = (problem: string): void => resolve({ address, id: null, status: null, problem });
    const request = get({ host, port, path: '/v1/status', timeout: timeoutMs, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_STATUS_BYTES) request.destroy();
        else chunks.push(chunk);
      });
      response.on('end', () => {
        try {
          if (response.statusCode !== 200) fail(`answers with HTTP ${response.statusCode ?? 0}`);
          else
            resolve({
              address,
              id: null,
              status: JSON.parse(Buffer.concat(chunks).toString()) as NodeStatus,
              problem: '',
            });
        } catch {
          fail('is no Cordwood node');
        }
      });
      response.on('error', () => fail('went away'));
    });
    request.on('timeout', () => {
      fail('does not answer');
      request.destroy();
    });
    request.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
  });
}

function report({ address, id, status, problem }: Found): NodeReport {
  const peer = status?.config.members.find(({ id }) => id === status.id);
  return {
    id: id ?? 0,
    state: status === null ? 'down' : 'up',
    pid: null,
    clientAddress: address,
    peerAddress: peer?.peerAddress ?? '-',
    status,
    note: problem,
  };
}
