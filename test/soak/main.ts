/**
 * The simulator, for as long as one likes and on all cores:
 *
 *   npm run soak -- --minutes 10 [--from 100000] [--kind cluster] [--jobs 2]
 *   npm run soak -- --kind cluster --seed 480 --trace [--faults 3,7]
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { shrink } from '../../lib/testing/shrink.ts';
import { CHUNK, kinds, tell, type ChunkResult, type Failure, type Kind } from './stories.ts';

const SHRINK_MS = 60_000;
const PROGRESS_MS = 10_000;

const USAGE = `npm run soak -- [--minutes 5] [--from SEED] [--kind ${kinds.join('|')}] [--jobs N]
npm run soak -- --kind KIND --seed SEED [--faults N,N...] [--trace]`;

const { values } = readArguments();
if (values.help) {
  say(USAGE);
  process.exit();
}

function readArguments() {
  try {
    return parseArgs({
      options: {
        minutes: { type: 'string', default: '5' },
        from: { type: 'string' },
        kind: { type: 'string' },
        jobs: { type: 'string' },
        seed: { type: 'string' },
        faults: { type: 'string' },
        trace: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    return fail((error as Error).message);
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function fail(message: string): never {
  process.stderr.write(`soak: ${message}\n`);
  process.exit(2);
}

function number(name: string, text: string): number {
  const value = Number(text);
  return text !== '' && Number.isFinite(value) && value >= 0
    ? value
    : fail(`--${name}: not a number: ${text}`);
}

const wanted = kinds.filter((kind) => values.kind === undefined || values.kind === kind);
if (wanted.length === 0) fail(`--kind: ${kinds.join(' or ')}`);
process.exitCode = values.seed === undefined ? await soak(wanted) : await replay(wanted[0]!);

/** One story, told again. */
async function replay(kind: Kind): Promise<number> {
  const seed = number('seed', values.seed!);
  const faults = values.faults?.split(',').map((text) => number('faults', text));
  try {
    const virtualMs = await tell(kind, seed, {
      trace: values.trace ? say : undefined,
      faults: faults && new Set(faults),
    });
    say(`${kind} seed ${seed}: nothing wrong in ${(virtualMs / 1000).toFixed(1)} s`);
    return 0;
  } catch (error) {
    say(`${kind} ${(error as Error).message}`);
    const { cause } = error as Error;
    if (cause instanceof Error) say(cause.stack ?? '');
    return 1;
  }
}

async function soak(chosen: readonly Kind[]): Promise<number> {
  const startMs = performance.now();
  const endMs = startMs + number('minutes', values.minutes) * 60_000;
  const from = values.from === undefined ? Date.now() % 1_000_000_000 : number('from', values.from);
  const jobs = values.jobs === undefined ? availableParallelism() : Math.max(1, number('jobs', values.jobs));
  const next = new Map(chosen.map((kind) => [kind, from]));
  const told = new Map(chosen.map((kind) => [kind, 0]));
  const failures: Failure[] = [];
  let virtualMs = 0;
  let chunks = 0;

  const report = (): void => {
    const minutes = (performance.now() - startMs) / 60_000;
    const hours = virtualMs / 3_600_000;
    const seeds = [...told].map(([kind, count]) => `${count} ${kind}`).join(' and ');
    const speed = (hours / minutes).toFixed(2);
    say(
      `${minutes.toFixed(1)} min: ${seeds} seeds, ${hours.toFixed(2)} simulated hours, ${speed} a minute, ` +
        `${failures.length} failed`,
    );
  };
  const done = ({ kind, count, virtualMs: ms, failures: failed }: ChunkResult): void => {
    told.set(kind, told.get(kind)! + count);
    virtualMs += ms;
    for (const failure of failed) say(`FAILED ${failure.kind} ${failure.message}\n  ${replayOf(failure)}`);
    failures.push(...failed);
  };
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL('worker.js', import.meta.url));
      const give = (): void => {
        if (performance.now() >= endMs) {
          void worker.terminate();
          resolve();
          return;
        }
        const kind = chosen[chunks++ % chosen.length]!;
        const first = next.get(kind)!;
        next.set(kind, first + CHUNK[kind]);
        worker.postMessage({ kind, first, count: CHUNK[kind] });
      };
      worker.on('message', (result: ChunkResult) => {
        done(result);
        give();
      });
      worker.once('error', reject);
      give();
    });

  say(`seeds from ${from} on, ${jobs} at a time`);
  const progress = setInterval(report, PROGRESS_MS);
  await Promise.all(Array.from({ length: jobs }, work));
  clearInterval(progress);
  report();
  for (const failure of failures.slice(0, 3)) await explain(failure);
  return failures.length === 0 ? 0 : 1;
}

/** What a failure needs, and the command that shows it. */
async function explain(failure: Failure): Promise<void> {
  const { kind, seed, faults, message } = failure;
  const endMs = performance.now() + SHRINK_MS;
  const attempt = (chosen: ReadonlySet<number>): Promise<Error | null> =>
    tell(kind, seed, { faults: chosen }).then(
      () => null,
      (error: unknown) => error as Error,
    );
  const left = await shrink(attempt, faults, new Error(message), () => performance.now() >= endMs);
  say(`${kind} seed ${seed}: ${left.faults.length} of ${faults} faults are needed (${left.runs} runs)`);
  say(`  ${left.error.message}\n  ${replayOf(failure, left.faults)}`);
}

function replayOf({ kind, seed }: Failure, faults?: readonly number[]): string {
  const only = faults === undefined ? '' : ` --faults ${faults.length === 0 ? 0 : faults.join(',')}`;
  return `npm run soak -- --kind ${kind} --seed ${seed}${only} --trace`;
}
