import { rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeDirectory } from '../../lib/log/make-directory.ts';
import { ExitCode, oneLine, UsageError } from '../support/exit-codes.ts';
import { ownCommand } from '../support/own-command.ts';
import {
  controlSocketPath,
  readControlFile,
  sendControl,
  serveControl,
  writeControlFile,
} from './control.ts';
import { DEFAULT_LOCAL_DATA, localLayout } from './layout.ts';
import { LocalCluster } from './local-cluster.ts';
import type { ControlReply, ControlRequest } from './messages.ts';
import { checkPorts } from './ports.ts';
import { nodeTable } from './table.ts';

export interface UpOptions {
  readonly nodes?: number;
  readonly data: string;
  readonly basePort?: number;
  readonly logLevel: string;
  /** For tests: what runs a node. */
  readonly program?: readonly string[];
}

/** Long enough for a cluster that has a large log to read first. */
const LEADER_WAIT_MS = 30_000;

/** `cordwood local up`: runs the cluster until Ctrl-C or `cordwood local down`. Resolves to the exit status. */
export async function runLocal(options: UpOptions): Promise<number> {
  const dataDir = path.resolve(options.data);
  const found = readControlFile(dataDir);
  const count = options.nodes ?? found?.nodes ?? 5;
  const basePort = options.basePort ?? found?.basePort ?? null;
  if (found !== null && (found.nodes !== count || found.basePort !== basePort)) {
    const ports = found.basePort === null ? 'the standard ports' : `--base-port ${found.basePort}`;
    throw new UsageError(
      `${options.data} holds a cluster of ${found.nodes} nodes on ${ports}; use it as it is, or another --data`,
    );
  }
  const nodes = localLayout(count, basePort ?? undefined);
  makeDirectory(dataDir);
  const socketPath = controlSocketPath(dataDir);
  const cluster = new LocalCluster({
    nodes,
    dataDir,
    program: options.program ?? [process.execPath, thisProgram(), 'start'],
    nodeArgs: ['--log-level', options.logLevel],
    self: `${ownCommand()} local`,
    selfOptions: dataOption(options.data),
    say: (line) => print(`${new Date().toTimeString().slice(0, 8)}  ${line}`),
  });
  const control = await serveControl(socketPath, (request) => cluster.handle(request));
  if (control === null)
    throw new UsageError(
      `the cluster in ${options.data} runs already; see: ${ownCommand()} local status${dataOption(options.data)}`,
    );
  try {
    await checkPorts(nodes);
    writeControlFile(dataDir, { version: 1, nodes: count, basePort, pid: process.pid });
    const stopped = stopOnSignal(cluster);
    print(`starting ${count} nodes, data in ${path.relative(process.cwd(), dataDir) || '.'}`);
    await cluster.up();
    const lead = await cluster.leaderKnown(LEADER_WAIT_MS);
    if (lead !== null) print(await introduction(cluster, lead, options, basePort === null && count <= 5));
    await Promise.race([stopped, cluster.ended]);
    print('stopped');
    return ExitCode.ok;
  } finally {
    control.close();
    rmSync(socketPath, { force: true });
  }
}

/** `cordwood local stop|start|restart|status|down`. Resolves to the exit status. */
export async function controlLocal(data: string, request: ControlRequest, json: boolean): Promise<number> {
  const reply = await sendControl(controlSocketPath(path.resolve(data)), request);
  if (reply === null) {
    const where = data === DEFAULT_LOCAL_DATA ? `${data} (below this directory)` : data;
    throw new UsageError(
      `no local cluster runs with its data in ${where}; start one with: ${ownCommand()} local up${dataOption(data)}`,
    );
  }
  return show(reply, json);
}

/** What a command needs to find this cluster. */
function dataOption(data: string): string {
  return data === DEFAULT_LOCAL_DATA ? '' : ` --data ${data}`;
}

function show(reply: ControlReply, json: boolean): number {
  if (json) print(JSON.stringify(reply));
  else if (reply.nodes !== undefined) print(nodeTable(reply.nodes));
  else if (reply.ok) print(reply.message);
  if (!reply.ok) process.stderr.write(`cordwood: ${oneLine(reply.message)}\n`);
  return reply.ok ? ExitCode.ok : ExitCode.notApplied;
}

/** What there is, and what to try. `standard`: the client commands find these addresses by themselves. */
async function introduction(
  cluster: LocalCluster,
  lead: boolean,
  options: UpOptions,
  standard: boolean,
): Promise<string> {
  const reports = await cluster.reports();
  const addresses = reports.map((report) => report.clientAddress);
  const [first, second = first, third = second] = addresses;
  const self = ownCommand();
  const data = dataOption(options.data);
  const examples: [string, string][] = [
    [`curl http://${first}/sPush -d jobs,hello`, 'push "hello" onto the stack "jobs"'],
    [`curl http://${second}/sPop -d jobs`, 'pop it, from another node'],
    [`${self} push jobs one two three`, 'the same from a shell'],
    [`seq 1000 | sed 's/^/push 1 /' | ${self} nc${standard ? '' : ` ${third}`}`, 'a line in, a line out'],
    [`${self} local stop ${Math.min(3, reports.length)}${data}`, 'stop a node; also start, restart, status'],
  ];
  const width = Math.max(...examples.map(([command]) => command.length));
  return [
    '',
    nodeTable(reports),
    ...(lead ? [] : ['', 'No leader yet: the logs lie beside the data.']),
    '',
    'Try it from another terminal:',
    ...(standard ? [] : [`  export CORDWOOD_ADDR=${addresses.join(',')}`]),
    ...examples.map(([command, what]) => `  ${command.padEnd(width)}   ${what}`),
    'Ctrl-C stops all nodes.',
    '',
  ].join('\n');
}

/** Resolves when a signal has stopped the cluster; a second one ends the nodes where they stand. */
function stopOnSignal(cluster: LocalCluster): Promise<void> {
  return new Promise((resolve, reject) => {
    let asked = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (asked) {
        cluster.kill();
        process.exit(signal === 'SIGINT' ? 130 : 143);
      }
      asked = true;
      print('\nstopping all nodes (again to end them at once)');
      cluster.down().then(resolve, reject);
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  });
}

/** The file that runs this command: beside this folder, in the form this file has. */
function thisProgram(): string {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return fileURLToPath(new URL(`../cordwood.${extension}`, import.meta.url));
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
