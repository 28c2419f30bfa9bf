import type { Explanation } from '../../lib/node/explain.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { clusterAddresses } from './addresses.ts';
import { ExitCode, oneLine } from './exit-codes.ts';
import type { StackOptions } from './stack-options.ts';
import { withAdmin } from './with-admin.ts';

interface Answer {
  readonly address: string;
  readonly explanation: Explanation | null;
}

/** `cordwood explain`. Resolves to the exit status. */
export async function explainCluster(options: StackOptions): Promise<number> {
  const answers = await Promise.all(
    clusterAddresses(options.addr).map((address) => ask(address, options.timeout)),
  );
  const known = answers.flatMap(({ explanation }) => (explanation === null ? [] : [explanation]));
  if (known.length === 0) throw new CordwoodError('CONNECTION_LOST', 'no node answers');
  if (options.json === true) process.stdout.write(`${JSON.stringify({ nodes: answers })}\n`);
  else for (const answer of answers) print(answer);
  return known.every(({ healthy }) => healthy) ? ExitCode.ok : ExitCode.negative;
}

async function ask(address: string, timeoutMs: number): Promise<Answer> {
  // A node that is no use as a server can still say why.
  const timeout = Math.min(timeoutMs, 2_000);
  try {
    const here = { addr: address, timeout, preferLeader: false };
    const explanation = await withAdmin(here, (admin) => admin.explain());
    return { address, explanation };
  } catch (error) {
    if (!CordwoodError.is(error)) throw error;
    return { address, explanation: null };
  }
}

function print({ address, explanation }: Answer): void {
  if (explanation === null) {
    process.stdout.write(`${address} does not answer\n`);
    return;
  }
  process.stdout.write(`${address} ${oneLine(explanation.summary)}\n`);
  for (const { severity, message } of explanation.findings) {
    if (message !== explanation.summary) process.stdout.write(`  ${severity}: ${oneLine(message)}\n`);
  }
}
