import type { Test } from 'tap';
import type { Running } from '../../e2e/support/run-command.ts';
import { until } from '../../e2e/support/until.ts';
import { DocumentedPorts } from './documented-ports.ts';
import { documents, type Fence, fences } from './fences.ts';
import { ANY_NUMBER, type ShellCommand, shellCommands } from './shell-commands.ts';
import { Workplace } from './workplace.ts';

/** Blocks that are not run, and why. A block that is not named here is run. */
export const NOT_RUN: ReadonlyMap<string, string> = new Map([
  ['README.md: npm ci && npm start', 'the cluster of the other blocks is what npm start runs'],
  ['README.md: npm install cordwood', 'needs the packed package: npm run test:embedding'],
  ['docs/testing.md: npm run soak -- --minutes 10', 'takes that long: test/soak'],
  ['docs/testing.md: npm run soak -- --kind cluster --seed 480 --trace', 'needs a clone: test/soak'],
  ['CONTRIBUTING.md: npm ci     # installs and builds dist/', 'this test would run itself: .ci/run'],
]);

/** The blocks of all documents, in order. */
export function shellBlocks(): Fence[] {
  return documents()
    .flatMap((file) => fences(file))
    .filter(({ language }) => ['sh', 'bash', 'shell', 'console'].includes(language));
}

/** Runs the blocks of one document, each on the cluster that the ones before have left. */
export async function runDocument(t: Test, file: string): Promise<void> {
  const runnable = shellBlocks()
    .filter((block) => block.file === file && !NOT_RUN.has(block.name))
    .map(({ line, code }) => ({ line, commands: shellCommands(code).filter((one) => !ofCheckout(one)) }))
    .filter(({ commands }) => commands.length > 0);
  if (runnable.length === 0) return;
  const standing = await LocalCluster.start(t);
  for (const { line, commands } of runnable) {
    await t.test(`${file}, line ${line}`, async (t) => {
      if (!commands.some(runsNode)) await runBlock(t, commands, standing);
      else if (commands.every(runsNode)) await startNodes(t, commands);
      // What joins or leaves in this block must not be missed, or met, by the others.
      else await runBlock(t, commands, await LocalCluster.start(t));
    });
  }
  t.equal(await standing.interrupt(), 0, 'Ctrl-C stops the cluster in an orderly way');
}

/** Benchmarks, soak and the like: minutes of work for developers, with tests of their own. They are looked up only. */
const ofCheckout = ({ text }: ShellCommand): boolean => text.startsWith('npm run ');

/** Commands that run a node until Ctrl-C. */
const runsNode = ({ text }: ShellCommand): boolean => /^(npx )?cordwood (start|--id|local up)\b/.test(text);

/** What `npm start` runs, on other ports. */
class LocalCluster {
  readonly ports: DocumentedPorts;
  readonly place: Workplace;
  readonly #process: Running;

  private constructor(ports: DocumentedPorts, place: Workplace) {
    this.ports = ports;
    this.place = place;
    this.#process = place.start(`cordwood local up --base-port ${ports.base}`);
  }

  static async start(t: Test): Promise<LocalCluster> {
    const ports = await DocumentedPorts.ofLocalCluster();
    // On the standard ports the command needs no addresses.
    const place = await Workplace.open(t, { CORDWOOD_ADDR: ports.addresses.join(',') });
    const cluster = new LocalCluster(ports, place);
    t.teardown(() => cluster.interrupt());
    await heard(cluster.#process, /Ctrl-C stops all nodes/);
    return cluster;
  }

  interrupt(): Promise<number | null> {
    return interrupted(this.#process);
  }
}

/** Commands that end, and nodes, which run until the block has. */
async function runBlock(
  t: Test,
  commands: readonly ShellCommand[],
  { ports, place }: LocalCluster,
): Promise<void> {
  const nodes: Running[] = [];
  for (const command of commands) {
    if (runsNode(command)) {
      nodes.push(await startNode(t, place, await ports.replaceIn(command.text)));
      continue;
    }
    const isCurl = command.text.startsWith('curl ');
    const line = await ports.replaceIn(isCurl ? asked(command.text) : command.text);
    const { code, stdout, stderr } = await place.shell(line);
    t.equal(code, 0, `${command.text}\n${stderr}`);
    const [answer, status] = isCurl ? splitStatus(stdout) : [stdout];
    if (isCurl) t.equal(status, command.status ?? 200, command.text);
    if (command.prints === ANY_NUMBER) t.match(answer, /^\d+\n$/, command.text);
    else if (command.prints !== undefined) t.equal(answer, `${command.prints}\n`, command.text);
  }
  for (const node of nodes) t.equal(await interrupted(node), 0, 'Ctrl-C ends the node');
}

/** Nodes in the foreground: each comes up, and ends well. */
async function startNodes(t: Test, commands: readonly ShellCommand[]): Promise<void> {
  const ports = DocumentedPorts.ofItsOwn();
  const place = await Workplace.open(t);
  for (const command of commands) {
    const node = await startNode(t, place, await ports.replaceIn(command.text));
    t.equal(await interrupted(node), 0, command.text);
  }
}

async function startNode(t: Test, place: Workplace, line: string): Promise<Running> {
  const node = place.start(line);
  t.teardown(() => interrupted(node));
  await heard(node, /node is up|Ctrl-C stops all nodes/);
  return node;
}

async function interrupted(node: Running): Promise<number | null> {
  if (node.child.exitCode === null) node.child.kill('SIGINT');
  return (await node.finished).code;
}

/** The curl command, made to print the status in a line behind the answer. */
function asked(text: string): string {
  return text.replace(/^curl /, "curl -sS -w '\\n%{http_code}' ");
}

function splitStatus(stdout: string): [answer: string, status: number] {
  const at = stdout.lastIndexOf('\n');
  return [stdout.slice(0, at), Number(stdout.slice(at + 1))];
}

function heard(running: Running, pattern: RegExp): Promise<true> {
  return until(String(pattern), () => {
    const output = running.stdout() + running.stderr();
    if (running.child.exitCode !== null) throw new Error(`it ended: ${output}`);
    return pattern.test(output);
  });
}
