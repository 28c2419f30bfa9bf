import t from 'tap';
import { Client } from '../../lib/client/index.ts';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import { RaftNode } from '../../lib/node/node.ts';
import { startServer, type Server } from '../../lib/server/index.ts';

type Loose = Record<string, unknown>;

const named = (fields: object): object => Object.assign(new StackMachine(), fields);
const nodeOptions = { id: 1, cluster: ['127.0.0.1:1'], dataDir: 'none', machine: new StackMachine() };
const startNode = (over: Loose): Promise<unknown> => RaftNode.start({ ...nodeOptions, ...over });
const connect = (over: Loose): Promise<unknown> => Client.connect({ addresses: ['127.0.0.1:1'], ...over });
const requests = { submit() {}, query() {}, detach() {}, status() {}, onLeader: () => () => undefined };
const serve = (over: Loose): Promise<Server> =>
  startServer({ node: requests, listen: { port: 0 }, ...over } as never);

/** Who takes the options, one that is wrong, and what the message says. */
const WRONG: [(over: Loose) => Promise<unknown>, Loose, RegExp][] = [
  [startNode, { id: undefined }, /^id must be a whole number from 1 up, not undefined$/],
  [startNode, { id: 1.5 }, /^id /],
  [startNode, { id: 2 }, /^id must be a place in cluster/],
  [startNode, { cluster: undefined }, /^cluster must be a list .* not undefined$/],
  [startNode, { cluster: '127.0.0.1:1' }, /^cluster must be a list/],
  [startNode, { cluster: [] }, /^cluster must be a list of 1 to 63/],
  [startNode, { cluster: [1] }, /^cluster /],
  [startNode, { cluster: ['nowhere'] }, /^cluster must be host:port: "nowhere"/],
  [
    startNode,
    { cluster: ['127.0.0.1:0', '127.0.0.1:1'] },
    /^cluster must name a port that peers can reach: 127\.0\.0\.1:0$/,
  ],
  [startNode, { dataDir: undefined }, /^dataDir must be a string/],
  [startNode, { dataDir: '' }, /^dataDir must be a string that is not empty, not ''$/],
  [startNode, { machine: undefined }, /^machine must be a state machine/],
  [
    startNode,
    { machine: named({ version: 202611240236 }) },
    /^machine cannot be kept in a snapshot: The version/,
  ],
  [startNode, { machine: named({ version: 1.5 }) }, /^machine cannot be kept/],
  [startNode, { machine: named({ version: '2' }) }, /^machine cannot be kept/],
  [startNode, { machine: named({ oldestVersion: 2 }) }, /^machine cannot be kept/],
  [
    startNode,
    { machine: named({ name: 'x'.repeat(300) }) },
    /^machine cannot be kept in a snapshot: The name/,
  ],
  [startNode, { machine: named({ name: undefined }) }, /^machine cannot be kept/],
  [startNode, { machine: { apply() {} } }, /^machine must be a state machine, with apply\(\), query\(\)/],
  [startNode, { peerListen: 'nowhere' }, /^peerListen must be host:port/],
  [startNode, { priority: -1 }, /^priority must be a whole number from 0 to 1000000, not -1$/],
  [startNode, { join: 'yes' }, /^join must be true or false, not 'yes'$/],
  [startNode, { heartbeatMs: '100' }, /^heartbeatMs must be a positive number/],
  [startNode, { electionTimeoutMs: 2 ** 31 }, /^electionTimeoutMs /],
  [startNode, { electionTimeoutMs: 150 }, /^electionTimeoutMs must be at least twice heartbeatMs/],
  [startNode, { logAheadBytes: -1 }, /^logAheadBytes must be a number from 0 up/],
  [startNode, { minFreeBytes: NaN }, /^minFreeBytes must be a positive number, not NaN$/],
  [startNode, { maxBatchBytes: 16 << 20 }, /^maxBatchBytes must be a positive number up to 8388608, not /],
  [startNode, { logger: { info() {} } }, /^logger must be a logger/],
  [startNode, { heartbeatms: 3 }, /^heartbeatms is no option: is heartbeatMs meant\?$/],
  [startNode, { heartbeat: 3 }, /^heartbeat is no option: is heartbeatMs meant\?$/],
  [startNode, { colour: 'red' }, /^colour is no option$/],
  [connect, { addresses: undefined }, /^addresses must be a list/],
  [connect, { addresses: '127.0.0.1:1' }, /^addresses must be a list/],
  [connect, { addresses: ['127.0.0.1'] }, /^addresses must be host:port/],
  [connect, { session: 1 }, /^session must be true or false/],
  [connect, { token: 'secret' }, /^token is no option$/],
  [connect, { timeout: 1 }, /^timeout is no option: is timeoutMs meant\?$/],
  [serve, { node: undefined }, /^node must be a node/],
  [serve, { listen: undefined }, /^listen must be an object/],
  [serve, { listen: {} }, /^listen\.port must be a whole number from 0 to 65535/],
  [serve, { listen: { port: 0, hots: '::1' } }, /^listen\.hots is no option$/],
  [serve, { limits: { maxConnections: 0 } }, /^limits\.maxConnections must be a positive number/],
  [serve, { limits: { stallTimeoutMs: Infinity } }, /^limits\.stallTimeoutMs /],
  [serve, { limits: { maxConnection: 1 } }, /^limits\.maxConnection is no option: is limits\.maxConnections/],
  [serve, { allowedHosts: 'example.org' }, /^allowedHosts must be a list of host names/],
];

t.test('an option that is missing, wrong or unknown is named', async (t) => {
  for (const [take, over, message] of WRONG)
    await t.rejects(take(over), { code: 'BAD_OPTION', outcome: 'not_applied', message }, String(message));
});

t.test('no options at all', async (t) => {
  for (const take of [RaftNode.start, Client.connect, startServer] as ((
    options?: unknown,
  ) => Promise<unknown>)[])
    await t.rejects(take(), { code: 'BAD_OPTION', message: 'the options must be an object' });
});

t.test('an option that is undefined has its default', async (t) => {
  const limits = { maxConnections: undefined };
  const server = await serve({ limits, logger: undefined });
  t.teardown(() => server.close());
  t.ok(server.port > 0);
});
