import { spawn, type ChildProcess } from 'node:child_process';
import { PROGRAM } from './test-node.ts';

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A program that runs; `finished` resolves at its end. */
export interface Running {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  /** What it has printed so far. */
  stdout(): string;
  stderr(): string;
}

export function start(
  program: string,
  args: readonly string[],
  where: { readonly cwd?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Running {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], ...where });
  running.add(child);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  // A program may end before it has read its input.
  child.stdin.on('error', () => {});
  const finished = new Promise<Finished>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      running.delete(child);
      resolve({ code, stdout, stderr });
    });
  });
  return { child, finished, stdout: () => stdout, stderr: () => stderr };
}

/** Runs the `cordwood` command in a process of its own, to its end. */
export function cordwood(args: readonly string[], input: string | Uint8Array = ''): Promise<Finished> {
  const { child, finished } = start(process.execPath, [PROGRAM, ...args]);
  child.stdin!.end(input);
  return finished;
}

/** Runs any program to its end. Its exit code is null if it is not there. */
export async function run(
  program: string,
  args: readonly string[],
  input: string | Uint8Array = '',
): Promise<Finished> {
  try {
    const { child, finished } = start(program, args);
    child.stdin!.end(input);
    return await finished;
  } catch (error) {
    return { code: null, stdout: '', stderr: (error as Error).message };
  }
}
