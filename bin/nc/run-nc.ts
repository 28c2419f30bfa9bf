import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { Client } from '../../lib/client/index.ts';
import type { ClientOptions } from '../../lib/client/index.ts';
import { stackCalls } from '../../lib/server/stack-calls.ts';
import type { NcOptions } from '../commands/nc.ts';
import { addressList, clusterAddresses } from '../support/addresses.ts';
import { UsageError } from '../support/exit-codes.ts';
import { LineRunner } from './line-runner.ts';
import { LineSplitter } from './line-splitter.ts';

/** The largest frame a node takes, and some room for the command's words. */
const MAX_LINE_BYTES = (4 << 20) + 2_048;

/** `cordwood nc`. Resolves to the exit status. */
export async function runNc(target: string | undefined, options: NcOptions): Promise<number> {
  if (target !== undefined && options.addr !== undefined)
    throw new UsageError('give host:port or --addr, not both');
  const addresses = target === undefined ? clusterAddresses(options.addr) : addressList(target, 'host:port');
  const settings = { addresses, timeoutMs: options.timeout, connectTimeoutMs: options.timeout };
  const client = await (options.hex === true ? connectTapped(settings) : Client.connect(settings));
  try {
    const { stdin, stdout } = process;
    return await converse(client, stdin, stdout, options, stdin.isTTY && stdout.isTTY);
  } finally {
    await client.close();
  }
}

async function connectTapped(settings: ClientOptions): Promise<Client> {
  const [{ TappedChannel }, { TcpChannel }] = await Promise.all([
    import('./tapped-channel.ts'),
    import('../../lib/client/tcp-channel.ts'),
  ]);
  const write = (text: string): void => void process.stderr.write(text);
  return Client.connect(settings, (address) => new TappedChannel(new TcpChannel(address), write));
}

/** Reads lines from `input` until it ends or says `quit`, and resolves to the exit status once all are answered. */
export async function converse(
  client: Client,
  input: Readable,
  output: Writable,
  options: Pick<NcOptions, 'timeout' | 'window' | 'json'>,
  interactive: boolean,
): Promise<number> {
  let onRoom = (): void => {};
  let prompt = (): void => {};
  const runner = new LineRunner({
    stacks: stackCalls(client),
    output,
    call: { timeoutMs: options.timeout },
    json: options.json === true,
    window: options.window,
    status: async () => JSON.stringify(await client.status({ timeoutMs: options.timeout })),
    onRoom: () => onRoom(),
    onReply: () => prompt(),
  });
  // Nobody reads the replies any more: there is nothing left to do, and nothing wrong.
  const closed = new Promise<null>((resolve) => {
    output.once('close', () => resolve(null));
    output.once('error', () => resolve(null));
  });
  const served = interactive
    ? converseInteractively(runner, input, output, (show) => (prompt = show))
    : readLines(runner, input, (resume) => (onRoom = resume));
  try {
    const failure = await Promise.race([served.then((why) => runner.idle().then(() => why)), closed]);
    if (failure !== null) throw failure;
  } finally {
    input.destroy();
  }
  return runner.exitCode;
}

/**
 * Feeds the runner from a stream, which is paused while the runner is full. Resolves when the last line has been taken:
 * to null, or to why no more can be. Those taken are carried out all the same.
 */
function readLines(
  runner: LineRunner,
  input: Readable,
  setResume: (resume: () => void) => void,
): Promise<Error | null> {
  return new Promise((resolve) => {
    const splitter = new LineSplitter(MAX_LINE_BYTES);
    let lines: Buffer[] = [];
    let next = 0;
    let ended = false;
    let failure: Error | null = null;
    const drain = (): void => {
      while (next < lines.length && !runner.full) {
        runner.take(lines[next++]!);
        if (runner.quit) {
          resolve(null);
          return;
        }
      }
      if (next < lines.length) return;
      lines = [];
      next = 0;
      if (ended) resolve(failure);
      else input.resume();
    };
    setResume(drain);
    const end = (why: Error | null): void => {
      if (ended) return;
      ended = true;
      failure = why;
      drain();
    };
    input.on('data', (chunk: Buffer) => {
      lines = lines.slice(next).concat(splitter.push(chunk));
      next = 0;
      input.pause();
      if (splitter.overlong) end(new UsageError(`a line is longer than ${MAX_LINE_BYTES} bytes`));
      else drain();
    });
    input.once('end', () => {
      const last = splitter.end();
      if (last !== null) lines.push(last);
      end(null);
    });
    input.once('error', end);
  });
}

function converseInteractively(
  runner: LineRunner,
  input: Readable,
  output: Writable,
  setPrompt: (show: () => void) => void,
): Promise<null> {
  return new Promise((resolve) => {
    const editor = createInterface({ input, output, prompt: 'cordwood> ', terminal: true });
    setPrompt(() => editor.prompt());
    editor.on('line', (line) => {
      const before = line.trim() === '';
      runner.take(Buffer.from(line));
      if (runner.quit) editor.close();
      else if (before) editor.prompt();
    });
    editor.once('close', () => resolve(null));
    editor.prompt();
  });
}
