import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import '../../support/plain-start.ts';

export const PROGRAM: string = fileURLToPath(new URL('../../../bin/cordwood.js', import.meta.url));

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command in a process of its own, as a shell would. */
export async function run(
  args: readonly string[],
  options: {
    readonly input?: string | Uint8Array;
    readonly env?: NodeJS.ProcessEnv;
    readonly cwd?: string;
    /** Where the output goes instead of into the result. */
    readonly stdout?: number;
  } = {},
): Promise<CommandResult> {
  const { CORDWOOD_ADDR: _, ...inherited } = process.env;
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    env: { ...inherited, NO_COLOR: '1', ...options.env },
    stdio: ['pipe', options.stdout ?? 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr!.on('data', (chunk: Buffer) => err.push(chunk));
  child.stdin!.on('error', () => {});
  child.stdin!.end(options.input ?? '');
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
}

/** Runs many commands, one after the other, in one other process. */
export class CommandHost {
  readonly #child = fork(fileURLToPath(new URL('./command-host.js', import.meta.url)), { stdio: 'pipe' });
  #last: Promise<unknown> = Promise.resolve();

  run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CommandResult> {
    const result = this.#last.then(async () => {
      const ended = new AbortController();
      const gone = once(this.#child, 'exit', { signal: ended.signal }).then(([code]) => {
        throw new Error(`${args.join(' ')}: ended the process that runs it, with ${String(code)}`);
      });
      try {
        this.#child.send({ args, env });
        const [answer] = (await Promise.race([once(this.#child, 'message'), gone])) as [CommandResult];
        return answer;
      } finally {
        gone.catch(() => {});
        ended.abort();
      }
    });
    this.#last = result.catch(() => {});
    return result;
  }

  async close(): Promise<void> {
    if (!this.#child.connected) return;
    const gone = once(this.#child, 'exit');
    this.#child.disconnect();
    await gone;
  }
}
