// A replicated machine of one's own, in TypeScript: who calls and who answers agree on the types.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Client, CommandError, defineMachine, RaftNode, type StateMachine } from 'cordwood';

const names = ['visits', 'pushes'] as const;
type Name = (typeof names)[number];
type Counters = Record<Name, number>;
interface Add {
  readonly name: Name;
  readonly by: number;
}

/** Types say what callers of this program send; whoever reaches the port may send anything else. */
function isAdd(command: unknown): command is Add {
  const { name, by } = (command ?? {}) as Partial<Add>;
  return isName(name) && Number.isSafeInteger(by);
}

function isName(value: unknown): value is Name {
  return names.some((name) => name === value);
}

function counters(): StateMachine {
  return defineMachine({
    name: 'counters',
    version: 1,
    initial: (): Counters => ({ visits: 0, pushes: 0 }),
    apply(state, command): number {
      if (!isAdd(command)) throw new CommandError('Give { name, by }.');
      return (state[command.name] += command.by);
    },
    query(state, name): number {
      if (!isName(name)) throw new CommandError('Give a name.');
      return state[name];
    },
  });
}

/** What this program asks of a cluster, with its types. */
class Visitors {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  add(command: Add): Promise<number> {
    return this.#client.send<number>(command);
  }

  total(name: Name): Promise<number> {
    return this.#client.ask<number>(name, { level: 'local' });
  }
}

const data = await mkdtemp(path.join(tmpdir(), 'cordwood-'));
const node = await RaftNode.start({
  id: 1,
  cluster: ['127.0.0.1:7121'],
  dataDir: data,
  machine: counters(),
});
const client = Client.local(node);
const visitors = new Visitors(client);
await visitors.add({ name: 'visits', by: 1 });
console.log(await visitors.add({ name: 'visits', by: 2 })); // 3
console.log((await visitors.total('visits')) * 2); // 6

await client.close();
await node.close();
await rm(data, { recursive: true });
