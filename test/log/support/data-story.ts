import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { DataDirectory } from '../../../lib/log/data-directory.ts';
import { StackMachine } from '../../../lib/machine/stack-machine.ts';
import { RaftNode } from '../../../lib/node/node.ts';
import { systemRuntime } from '../../../lib/node/runtime.ts';
import { encodeCommand, encodeKeyedCommand, encodeOpenSession } from '../../../protocol/client-codec.ts';
import { StackOp, Status } from '../../../protocol/constants.ts';
import { encodeValue } from '../../../protocol/msgpack.ts';
import { Caller } from '../../node/support/caller.ts';
import { until } from '../../e2e/support/until.ts';

/** What the fixture's cluster was started with. */
const CLUSTER: readonly string[] = ['127.0.0.1:12379'];

/** What is on the stacks at the end, the bottom first. */
export const STACKS: Readonly<Record<string, readonly unknown[]>> = {
  numbers: Array.from({ length: 300 }, (_, i) => i * i - 50),
  values: [
    null,
    true,
    -1.5,
    'text, with a comma',
    'ü€😀',
    new Uint8Array([0, 255, 7]),
    [1, [2, [3]]],
    { map: { of: 'maps' }, n: 2 ** 40 },
    'x'.repeat(70_000),
  ],
  empty: [],
  'a name with spaces': ['one'],
};
/** Ran once with a key and once in a session; both pushed values are gone again. */
const REPEATED: readonly unknown[] = [StackOp.push, 'a name with spaces', 'two'];
const KEY = Buffer.from('fixture-key');
/** Sessions and keys expire by the wall clock: here it stands still, whenever the tests run. */
const WALL_MS = Date.UTC(2026, 10, 21);

/** Starts the node of `directory`; it leads when this resolves. */
export async function startFixture(directory: string, peerListen: string): Promise<RaftNode> {
  const node = await RaftNode.start({
    id: 1,
    cluster: CLUSTER,
    peerListen,
    dataDir: directory,
    machine: new StackMachine(),
    runtime: { ...systemRuntime, wallNow: () => WALL_MS },
  });
  await until('the node to lead', () => node.status().role === 'leader');
  return node;
}

/** Sends what must not run again. Resolves to the answers: to the key, and to the first command of session 1. */
export async function repeat(caller: Caller): Promise<readonly unknown[]> {
  const keyed = await caller.send((out, id) => {
    encodeKeyedCommand(out, id, KEY, encodeValue(REPEATED));
  });
  const inSession = await caller.send((out, id) => {
    encodeCommand(out, id, 1, 1, 0, encodeValue(REPEATED));
  });
  return [keyed.status, keyed.value, inSession.status, inSession.value];
}

/**
 * Lives the story that the directories in `target` are left of: `clean` by an orderly stop, `killed` as a crash leaves
 * it, and `stacks.backup`. For `make-data`, once for each format: what is in the repository stays as it is.
 */
export async function liveStory(target: string, peerListen: string): Promise<void> {
  const directory = path.join(target, 'clean');
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  const node = await startFixture(directory, peerListen);
  const caller = new Caller(node);
  const push = async (name: string, value: unknown): Promise<void> => {
    const { status } = await caller.command(StackOp.push, name, value);
    if (status !== Status.ok) throw new Error(`push ${name}: status ${status}`);
  };
  await caller.send((out, id) => {
    encodeOpenSession(out, id, { ttlMs: 7 * 24 * 3_600_000 });
  });
  const [numbers = [], ...others] = Object.values(STACKS);
  for (const value of numbers.slice(0, 200)) await push('numbers', value);
  node.snapshot();
  await until('a snapshot', () => node.status().snapshotIndex > 0);
  for (const value of numbers.slice(200)) await push('numbers', value);
  for (const [i, name] of Object.keys(STACKS).slice(1).entries()) {
    await caller.command(StackOp.create, name);
    for (const value of others[i]!) await push(name, value);
  }
  const answers = await repeat(caller);
  if (answers.join() !== '0,2,0,3') throw new Error(answers.join());
  await caller.command(StackOp.popMany, 'a name with spaces', 2);
  const pieces: Uint8Array[] = [];
  for await (const piece of await node.backup()) pieces.push(piece);
  writeFileSync(path.join(target, 'stacks.backup'), Buffer.concat(pieces));
  cpSync(directory, path.join(target, 'killed'), { recursive: true });
  await node.close();
  // As a node that has met others.
  const whose = { clusterId: '', nodeId: 1, members: [], trustIdentity: true };
  const held = await DataDirectory.open({ path: directory, ...whose });
  held.peers.remember(2, 'another');
  await held.close();
  for (const name of ['clean', 'killed']) slim(path.join(target, name));
}

/** Leaves out what only takes up room: files made ahead, and zeros behind the last block. */
function slim(directory: string): void {
  rmSync(path.join(directory, 'LOCK'), { force: true });
  const log = path.join(directory, 'log');
  for (const name of readdirSync(log)) {
    const file = path.join(log, name);
    if (!name.endsWith('.log')) {
      rmSync(file);
      continue;
    }
    const bytes = readFileSync(file);
    let end = bytes.length;
    while (end > 0 && bytes[end - 1] === 0) end--;
    truncateSync(file, Math.min(bytes.length, end + 64));
  }
}
