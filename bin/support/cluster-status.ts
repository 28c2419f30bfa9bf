import type { MembersView, MemberView } from '../../lib/node/types.ts';
import type { NodeReport } from '../local/messages.ts';
import { nodeTable } from '../local/table.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { clusterAddresses } from './addresses.ts';
import { ExitCode, oneLine } from './exit-codes.ts';
import { askNode, findNodes } from './find-nodes.ts';
import type { FoundNode } from './find-nodes.ts';
import { printLine } from './print.ts';
import type { StackOptions } from './stack-options.ts';

/** `cordwood status`. Resolves to the exit status. */
export async function showStatus(options: StackOptions): Promise<number> {
  const found = await findNodes(clusterAddresses(options.addr), options.timeout);
  const led = found.some(({ status }) => status !== null && status.leader !== null);
  if (options.json === true) {
    process.stdout.write(`${JSON.stringify({ nodes: found })}\n`);
  } else {
    process.stdout.write(`${nodeTable(reportsOf(found))}\n`);
    if (!led) process.stderr.write('cordwood: no node knows a leader\n');
  }
  return led ? ExitCode.ok : ExitCode.notApplied;
}

/** `cordwood members`. Resolves to the exit status. */
export async function showMembers(options: StackOptions): Promise<number> {
  const found = await findNodes(clusterAddresses(options.addr), options.timeout);
  const known = found.flatMap(({ address, status }) => (status === null ? [] : [{ address, status }]));
  // The leader's configuration is the newest; without one, that of the node that has seen most.
  known.sort(
    ({ status: a }, { status: b }) =>
      Number(b.role === 'leader') - Number(a.role === 'leader') || b.lastIndex - a.lastIndex,
  );
  const [best] = known;
  if (best === undefined) throw new CordwoodError('CONNECTION_LOST', 'no node answers');
  const { answer, problem } = await askNode<MembersView>(best.address, '/v1/members', options.timeout);
  if (answer === null) throw new CordwoodError('CONNECTION_LOST', `${best.address} ${problem}`);
  if (options.json === true) printLine(JSON.stringify(answer));
  else for (const member of answer.members) printLine(memberLine(member));
  return ExitCode.ok;
}

function memberLine({ id, kind, peerAddress, clientAddress, leader }: MemberView): string {
  const parts = [id, kind, peerAddress, clientAddress ?? '-', leader ? 'leader' : ''];
  return parts
    .map((part) => oneLine(String(part)))
    .join('\t')
    .trimEnd();
}

function reportsOf(found: readonly FoundNode[]): NodeReport[] {
  const members = found.flatMap(({ status }) => status?.config.members ?? []);
  const peerAddresses = new Map(members.map(({ id, peerAddress }) => [id, peerAddress]));
  return found.map(({ address, id, status, problem }) => ({
    id: id ?? 0,
    state: status === null ? 'down' : 'up',
    pid: null,
    clientAddress: address === '' ? '-' : address,
    peerAddress: peerAddresses.get(id ?? 0) ?? '-',
    status,
    note: problem,
  }));
}
