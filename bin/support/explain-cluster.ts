import type { Explanation } from '../../lib/node/explain.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { clusterAddresses } from './addresses.ts';
import { ExitCode, oneLine } from './exit-codes.ts';
import { askNode, findNodes } from './find-nodes.ts';
import { printLine } from './print.ts';
import type { StackOptions } from './stack-options.ts';

/** A node that is no use as a server can still say why, and says it at once. */
const MAX_TIMEOUT_MS = 2_000;

interface Explained {
  /** Empty: a member whose address nobody knows. */
  readonly address: string;
  readonly id: number | null;
  readonly explanation: Explanation | null;
}

/** `cordwood explain`. Resolves to the exit status. */
export async function explainCluster(options: StackOptions): Promise<number> {
  const timeoutMs = Math.min(options.timeout, MAX_TIMEOUT_MS);
  const found = await findNodes(clusterAddresses(options.addr), timeoutMs);
  const answers = await Promise.all(
    found.map(async ({ address, id, status }): Promise<Explained> => {
      if (status === null) return { address, id, explanation: null };
      const { answer } = await askNode<Explanation>(address, '/v1/explain', timeoutMs);
      return { address, id, explanation: answer };
    }),
  );
  const known = answers.flatMap(({ explanation }) => (explanation === null ? [] : [explanation]));
  if (known.length === 0) throw new CordwoodError('CONNECTION_LOST', 'no node answers');
  if (options.json === true) printLine(JSON.stringify({ nodes: answers }));
  else for (const answer of answers) print(answer);
  return known.every(({ healthy }) => healthy) ? ExitCode.ok : ExitCode.negative;
}

function print({ address, id, explanation }: Explained): void {
  if (explanation === null) {
    printLine(
      address === '' ? `node ${id}: its address is not known` : `${oneLine(address)} does not answer`,
    );
    return;
  }
  printLine(`${oneLine(address)} ${oneLine(explanation.summary)}`);
  for (const { severity, message } of explanation.findings) {
    if (message !== explanation.summary) printLine(`  ${severity}: ${oneLine(message)}`);
  }
}
