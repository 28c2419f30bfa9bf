import fs from 'node:fs';
import path from 'node:path';
import { get } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BackupFile } from '../../lib/log/backup-file.ts';
import { NodeDisk } from '../../lib/log/node-disk.ts';
import { describeState } from '../../lib/machine/describe-state.ts';
import type { StateDescription } from '../../lib/machine/describe-state.ts';
import { parseAddress } from '../../protocol/address.ts';
import { CordwoodError, ErrorCodes } from '../../protocol/errors.ts';
import type { BackupCommandOptions } from '../commands/backup.ts';
import { clusterAddresses } from './addresses.ts';
import { ExitCode, oneLine, UsageError, verdictOf } from './exit-codes.ts';
import { time } from './inspect.ts';
import { printLine } from './print.ts';
import { isOfDisk } from './system-errors.ts';

const MAX_ERROR_BYTES = 64 << 10;

/** `cordwood backup FILE`. Resolves to the exit status. */
export async function backup(given: string, options: BackupCommandOptions): Promise<number> {
  const file = placeOf(given, options.force === true);
  // Gets its name only when it has been read again and is whole. Until then it is this process's alone: of two that
  // back up to one file, the one that is turned away would take the other's away with it.
  const unfinished = `${file}.${process.pid}.unfinished`;
  const forget = removeOnSignal(unfinished);
  try {
    // Before a node is asked for what could not be kept.
    fs.closeSync(fs.openSync(unfinished, 'w', 0o600));
    await fetchBackup(unfinished, options);
    const facts = await factsOf(unfinished);
    fs.renameSync(unfinished, file);
    new NodeDisk().syncDirectory(path.dirname(file));
    print(file, facts, options.json === true);
    return ExitCode.ok;
  } catch (error) {
    fs.rmSync(unfinished, { force: true });
    throw error;
  } finally {
    forget();
  }
}

/** The file that gets the backup: where a link leads to, for a link; of all else only regular files are replaced. */
function placeOf(given: string, force: boolean): string {
  const file = path.resolve(given);
  if (fs.lstatSync(file, { throwIfNoEntry: false }) === undefined) return file;
  const found = fs.statSync(file, { throwIfNoEntry: false });
  if (found === undefined) throw new UsageError(`${given} is a link to what is not there`);
  // A rename would put a file in the place of a tape, or of /dev/null.
  if (!found.isFile())
    throw new UsageError(`${given} is there already and is no file that could be replaced`);
  if (!force) throw new UsageError(`${given} is there already; --force replaces it`);
  return fs.realpathSync(file);
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Whoever breaks the command off finds no remains of it. Returns what ends this. */
function removeOnSignal(file: string): () => void {
  const onSignal = (signal: NodeJS.Signals): void => {
    fs.rmSync(file, { force: true });
    forget();
    process.kill(process.pid, signal);
  };
  const forget = (): void => {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  return forget;
}

/** `cordwood inspect FILE`. Resolves to the exit status. */
export async function inspectBackup(file: string, json: boolean): Promise<number> {
  try {
    print(file, await factsOf(file), json);
    return ExitCode.ok;
  } catch (error) {
    // As of a directory: that it is damaged is an answer.
    if (!CordwoodError.is(error) || error.code !== 'SNAPSHOT_DAMAGED') throw error;
    if (json) printLine(JSON.stringify({ file, whole: false, problem: error.message }));
    process.stderr.write(`${verdictOf(error).line}\n`);
    return ExitCode.negative;
  }
}

/** A backup that has been read from its first byte to its last, and what it holds. The caller closes it. */
export async function openBackup(
  file: string,
): Promise<{ readonly backup: BackupFile; readonly state: StateDescription }> {
  const opened = BackupFile.open(new NodeDisk(), file);
  try {
    const state = await describeState(Readable.from(opened.content()));
    if (state.appliedIndex !== opened.meta.index)
      throw new CordwoodError('SNAPSHOT_DAMAGED', `${file}: the state in it is that of another entry`);
    return { backup: opened, state };
  } catch (error) {
    opened.close();
    throw error;
  }
}

/** From the first node that makes one, durable under the name `file`. */
async function fetchBackup(file: string, options: BackupCommandOptions): Promise<void> {
  let told: CordwoodError | null = null;
  for (const address of clusterAddresses(options.addr)) {
    try {
      const response = await request(address, options.timeout);
      await pipeline(response, fs.createWriteStream(file, { flags: 'w', mode: 0o600 }));
      const fd = fs.openSync(file, 'r+');
      try {
        fs.fsyncSync(fd);
      } finally {
        fs.closeSync(fd);
      }
      return;
    } catch (error) {
      // Another node is no help.
      if (isOfDisk(error)) throw error;
      const failure = CordwoodError.is(error)
        ? error
        : new CordwoodError('CONNECTION_LOST', `${address}: ${(error as Error).message}`, { cause: error });
      // What a node says tells more than that another one is not there.
      if (told === null || failure.code !== 'CONNECTION_LOST') told = failure;
    }
  }
  throw told!;
}

function request(address: string, timeoutMs: number): Promise<IncomingMessage> {
  const { host, port } = parseAddress(address);
  const headers = { 'x-timeout-ms': String(timeoutMs) };
  return new Promise((resolve, reject) => {
    const asked = get({ host, port, path: '/v1/admin/backup', headers, agent: false }, (response) => {
      if (response.statusCode === 200) resolve(response);
      else readError(response, address).then(reject, reject);
    });
    // Of nothing coming at all, not of the whole: a backup takes as long as it takes.
    asked.setTimeout(timeoutMs + 2_000, () => asked.destroy(new Error('it does not answer in time')));
    asked.on('error', reject);
  });
}

async function readError(response: IncomingMessage, address: string): Promise<CordwoodError> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_ERROR_BYTES) break;
    chunks.push(chunk);
  }
  const status = `${address} answers with HTTP ${response.statusCode ?? 0}`;
  try {
    const { error } = JSON.parse(Buffer.concat(chunks).toString()) as {
      error: { code: string; message: string };
    };
    const code = ErrorCodes.find((known) => known === error.code) ?? 'PROTOCOL_ERROR';
    return new CordwoodError(code, `${address}: ${error.message}`);
  } catch {
    return new CordwoodError('PROTOCOL_ERROR', status);
  }
}

type Facts = ReturnType<typeof describe>;

async function factsOf(file: string): Promise<Facts> {
  const { backup: opened, state } = await openBackup(file);
  try {
    return describe(opened, state);
  } finally {
    opened.close();
  }
}

function describe(
  { meta, origin, fileBytes, digest }: BackupFile,
  state: StateDescription,
): {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly createdMs: number;
  readonly index: number;
  readonly term: number;
  readonly machine: string;
  readonly machineVersion: number;
  readonly sessions: number;
  readonly keys: number;
  readonly bytes: number;
  readonly digest: string;
} {
  return {
    clusterId: origin.clusterId,
    nodeId: origin.nodeId,
    createdMs: origin.createdMs,
    index: meta.index,
    term: meta.term,
    machine: state.machine,
    machineVersion: state.version,
    sessions: state.sessions,
    keys: state.keys,
    bytes: fileBytes,
    digest,
  };
}

function print(file: string, facts: Facts, json: boolean): void {
  if (json) {
    printLine(JSON.stringify({ file, whole: true, ...facts }));
    return;
  }
  const { clusterId, nodeId, createdMs, index, term, machine, machineVersion, sessions, keys } = facts;
  printLine(`backup      ${oneLine(file)}, ${facts.bytes} bytes`);
  printLine(`cluster     ${oneLine(clusterId)}, made by node ${nodeId} at ${time(createdMs)}`);
  printLine(
    `state       behind entry ${index} of term ${term}: machine ${oneLine(machine)} ${machineVersion}`,
  );
  printLine(`            sessions ${sessions}, idempotency keys ${keys}`);
  printLine(`digest      ${facts.digest}`);
  printLine('whole       every checksum holds');
}
