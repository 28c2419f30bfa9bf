/**
 * `npm run bench:compare -- REV`: this checkout against another revision of it, in turn, round by round, under the
 * same load. Look at CPU per operation first: on a machine that does other things too it is the steadiest figure.
 *
 * REV is checked out in a directory of its own, which disappears again, and built there. It is measured with today's
 * benchmark and today's client library, so that only the nodes differ; with `--whole` its own benchmark runs it.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Arguments } from './support/arguments.ts';
import { Cluster, COMMAND } from './support/cluster.ts';
import { DiskCounters } from './support/disk-counters.ts';
import { Loaders } from './support/loaders.ts';
import { heat, measure, type Point } from './support/measure.ts';
import { medians } from './support/medians.ts';
import { Progress } from './support/progress.ts';
import { hardware, ratioTable, throughputTable } from './support/report.ts';
import { scratchDirectory } from './support/scratch-directory.ts';

const USAGE = `
npm run bench:compare -- REV [options]

  --conc=1,256,1000,10000 --conns=1 --values=64   the load, as in npm run bench
  --secs=2 --warm=1    seconds measured, and before that
  --rounds=6           turns; the table shows medians
  --clusters=3         pairs of clusters that share the rounds: one lasts, and two of the same code differ by 8 %
  --whole              REV's own benchmark and client library measure it
  --data=DIR           where the nodes' data goes
  --json               a line of JSON for each point in place of the table
`;

const [rev, ...rest] = process.argv.slice(2);
if (rev === undefined || rev.startsWith('-')) {
  process.stderr.write(USAGE.trimStart());
  process.exit(rev === '--help' ? 0 : 2);
}
process.argv.splice(2, process.argv.length, ...rest);
const args = new Arguments(USAGE, {
  conc: '1,256,1000,10000',
  conns: '1',
  values: '64',
  secs: '2',
  warm: '1',
  rounds: '6',
  clusters: '3',
  whole: '',
  data: '',
  json: '',
});

const OURS = 'now';
const HEAT_S = 3;
/** The checkout this file was built in: dist/bench lies two directories below. */
const root = fileURLToPath(new URL('../../', import.meta.url));
const directory = scratchDirectory(args.text('data'));
const commit = git('rev-parse', '--short', `${rev}^{commit}`).trim();
const tree = path.join(directory, 'tree');
const loads = args.numbers('conc', 1).flatMap((outstanding) =>
  args
    .numbers('conns', 1)
    .filter((connections) => connections <= outstanding)
    .flatMap((connections) =>
      args.numbers('values', 12).map((valueBytes) => ({ outstanding, connections, valueBytes })),
    ),
);
const warmS = args.number('warm');
const measureS = args.number('secs', 0.01);
const rounds = args.number('rounds', 1);
const pairs = Math.min(rounds, args.number('clusters', 1));
const progress = new Progress(30 + pairs * 2 * HEAT_S + rounds * loads.length * 2 * (warmS + measureS));
const points: Point[] = [];

progress.step(`building ${commit}`, 30);
process.on('exit', removeTree);
build();
if (args.flag('whole')) await runWhole();
else await runNodes();
progress.end();
if (!args.flag('json')) {
  const shown = medians(points);
  process.stdout.write(`${throughputTable(shown)}\n\n${ratioTable(shown, OURS)}\n\n${hardware()}\n`);
}

function build(): void {
  git('worktree', 'add', '--detach', tree, commit);
  const packages = path.join(root, 'node_modules');
  if (existsSync(packages) && sameFile('package-lock.json'))
    symlinkSync(packages, path.join(tree, 'node_modules'));
  else run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund']);
  run(process.execPath, [path.join('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json']);
}

async function runNodes(): Promise<void> {
  await using loaders = new Loaders(1);
  for (let pair = 0; pair < pairs; pair++) {
    const from = Math.floor((pair * rounds) / pairs);
    const to = Math.floor(((pair + 1) * rounds) / pairs);
    await runPair(`pair-${pair}`, loaders, from, to);
  }
}

/**
 * The rounds `from` to `to` on clusters of their own. What V8 makes of a process and where its memory happens to lie last
 * as long as it does: of clusters that live through all rounds no number of rounds shows which difference is theirs.
 */
async function runPair(name: string, loaders: Loaders, from: number, to: number): Promise<void> {
  const disk = new DiskCounters(directory);
  progress.step(`${name}: starting and heating both`, 2 * HEAT_S);
  await using theirs = await Cluster.start({
    nodes: 3,
    directory: path.join(directory, name, 'theirs'),
    command: path.join(tree, 'dist', 'bin', 'cordwood.js'),
  });
  await using ours = await Cluster.start({
    nodes: 3,
    directory: path.join(directory, name, 'ours'),
    command: COMMAND,
  });
  for (const cluster of [theirs, ours]) await heat(cluster, loaders, HEAT_S);
  const sides = [
    [commit, theirs],
    [OURS, ours],
  ] as const;
  for (let round = from; round < to; round++) {
    for (const [i, load] of loads.entries()) {
      const spec = { operation: 'push', ratePerS: 0, warmS, measureS, ...load } as const;
      // Who goes first changes from round to round.
      for (const [peer, cluster] of round % 2 === 0 ? sides : sides.toReversed()) {
        progress.step(`${peer}, ${load.outstanding} outstanding`, warmS + measureS);
        add({ ...(await measure(cluster, loaders, disk, `compare-${round}-${i}`, spec)), peer });
      }
    }
  }
}

async function runWhole(): Promise<void> {
  const flags = (['conc', 'conns', 'values', 'secs', 'warm'] as const).map(
    (name) => `--${name}=${args.text(name)}`,
  );
  for (let i = 0; i < rounds; i++) {
    for (const [peer, checkout] of [
      [commit, tree],
      [OURS, root],
    ] as const) {
      progress.step(peer, loads.length * (warmS + measureS));
      const program = path.join(checkout, 'dist', 'bench', 'throughput.js');
      for (const line of (await output(program, [...flags, '--json'])).split('\n')) {
        if (line.startsWith('{')) add({ ...(JSON.parse(line) as Point), peer });
      }
    }
  }
}

function add(point: Point): void {
  points.push(point);
  if (args.flag('json')) process.stdout.write(`${JSON.stringify(point)}\n`);
  for (const fault of point.faults) progress.say(`${point.peer}, ${point.concurrency} outstanding: ${fault}`);
  if (point.faults.length > 0) process.exitCode = 1;
}

function output(program: string, flags: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    child.once('error', reject);
    child.once('exit', () => resolve(text));
  });
}

function sameFile(name: string): boolean {
  try {
    git('diff', '--quiet', commit, '--', name);
    return true;
  } catch {
    return false;
  }
}

function git(...command: string[]): string {
  return execFileSync('git', command, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

function run(command: string, flags: readonly string[]): void {
  try {
    execFileSync(command, flags, { cwd: tree, stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: Buffer; stderr?: Buffer };
    process.stderr.write(
      `${command} ${flags.join(' ')} failed for ${commit}:\n${stdout?.toString()}${stderr?.toString()}`,
    );
    process.exit(1);
  }
}

function removeTree(): void {
  try {
    git('worktree', 'remove', '--force', tree);
  } catch {
    rmSync(tree, { recursive: true, force: true });
  }
}
