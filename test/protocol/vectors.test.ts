import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';

import { ReplicatedState } from '../../lib/machine/replicated-state.ts';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import {
  checkReadFrame,
  checkWriteFrame,
  encodePreamble,
  frameKind,
  isWriteKind,
} from '../../protocol/client-codec.ts';
import { encodeConfig } from '../../protocol/config-codec.ts';
import { Kind, Lane, PeerKind, ReadLevel, StackOp, Status } from '../../protocol/constants.ts';
import { decodeValue } from '../../protocol/msgpack.ts';
import * as codec from './vector-codec.ts';
import { type Fields, hex, unhex } from './vector-codec.ts';

/*
 * Golden vectors: what this package writes, byte for byte, for clients in other languages to test against.
 * UPDATE_VECTORS=1 writes the files anew; a change there is a change of the protocol.
 */

interface Vector {
  name: string;
  fields: Fields;
}

const directory = resolve('protocol/vectors');

/** The vectors of a file: these, and nothing else; each encodes to its hex, and its hex decodes to it. */
function golden(
  file: string,
  about: string,
  vectors: Vector[],
  encode: (f: Fields) => Uint8Array,
  decode: (b: Uint8Array) => Fields,
): void {
  t.test(file, async (t) => {
    const made = { about, vectors: vectors.map((v) => ({ ...v, hex: hex(encode(v.fields)) })) };
    const path = resolve(directory, file);
    if (process.env['UPDATE_VECTORS']) {
      mkdirSync(directory, { recursive: true });
      writeFileSync(path, `${JSON.stringify(made, null, 2)}\n`);
    }
    const stored = JSON.parse(readFileSync(path, 'utf8')) as typeof made;
    t.same(stored, JSON.parse(JSON.stringify(made)), 'the file is what the encoders write');
    for (const vector of stored.vectors) {
      t.same(JSON.parse(JSON.stringify(decode(unhex(vector.hex)))), vector.fields, vector.name);
    }
  });
}

const write = (kind: string, fields: Fields): Fields => ({
  kind,
  requestId: 7,
  window: 0,
  session: 0,
  seq: 0,
  ...fields,
});
const read = (kind: string, fields: Fields = {}): Fields => ({ kind, requestId: 7, flags: 0, ...fields });
const command = (name: string, body: unknown[]): Vector => ({
  name: `command: ${name}`,
  fields: write('command', { window: 2, session: 12, seq: 40, body }),
});
const query = (name: string, body: unknown[], flags: number = ReadLevel.linearizable): Vector => ({
  name: `query: ${name}`,
  fields: read('query', { flags, body }),
});
const answer = (name: string, flags: number, body?: unknown): Vector => ({
  name: `response: ${name}`,
  fields: read('response', { flags, ...(body === undefined ? {} : { body }) }),
});
const leader = { id: 3, address: '127.0.0.1:32380' };

golden(
  'client-frames.json',
  'Frames between clients and nodes. "body" is the msgpack value decoded; no "body": none. "flags" of a response is its status.',
  [
    { name: 'openSession', fields: write('openSession', { body: { ttlMs: 60_000, nonce: 'a1b2c3' } }) },
    { name: 'openSession without wishes', fields: write('openSession', {}) },
    { name: 'keepAlive', fields: write('keepAlive', { session: 12 }) },
    { name: 'keepAlive that acknowledges', fields: write('keepAlive', { session: 12, seq: 41, window: 1 }) },
    { name: 'closeSession', fields: write('closeSession', { session: 12 }) },
    command('create', [StackOp.create, 'jobs']),
    command('push', [StackOp.push, 'jobs', { id: 1, tags: ['a', 'b'] }]),
    command('pop', [StackOp.pop, 'jobs']),
    command('drop', [StackOp.drop, 'jobs']),
    command('pushMany', [StackOp.pushMany, 'jobs', [1, 2, 3]]),
    command('popMany', [StackOp.popMany, 'jobs', 2]),
    { name: 'command without a session', fields: write('command', { body: [StackOp.push, 'jobs', 'x'] }) },
    {
      name: 'largest numbers',
      fields: {
        kind: 'command',
        requestId: 0xffffffff,
        window: 65_536,
        session: Number.MAX_SAFE_INTEGER,
        seq: Number.MAX_SAFE_INTEGER,
        body: [StackOp.pop, 'jobs'],
      },
    },
    {
      name: 'keyedCommand',
      fields: write('keyedCommand', { key: 'order-4711', body: [StackOp.push, 'jobs', 'x'] }),
    },
    query('exists', [StackOp.exists, 'jobs']),
    query('top', [StackOp.top, 'jobs']),
    query('size, of the local state', [StackOp.size, 'jobs'], ReadLevel.local),
    query('size, under a lease', [StackOp.size, 'jobs'], ReadLevel.lease),
    query('size, at most a second old', [StackOp.size, 'jobs'], ReadLevel.bounded),
    {
      name: 'query: size, at most 5000 ms old',
      fields: read('query', { flags: ReadLevel.bounded, reserved: 5000, body: [StackOp.size, 'jobs'] }),
    },
    query('list', [StackOp.list]),
    query('list, a page', [StackOp.list, 'job', 'jobs-7', 100]),
    { name: 'ping', fields: read('ping') },
    { name: 'status', fields: read('status') },
    { name: 'admin: who are the members?', fields: { ...read('admin'), body: { op: 'members' } } },
    {
      name: 'admin: add node 4',
      fields: { ...read('admin'), body: { op: 'add', id: 4, address: '10.0.0.4:12379', dryRun: true } },
    },
    {
      name: 'admin: replace node 2 by node 4',
      fields: {
        ...read('admin'),
        body: {
          op: 'set',
          voters: [1, 3, 4],
          members: [{ id: 4, peerAddress: '10.0.0.4:12379' }],
          expectedConfigIndex: 17,
        },
      },
    },
    {
      name: 'admin: hand leadership to node 3',
      fields: { ...read('admin'), body: { op: 'transfer', target: 3 } },
    },
    { name: 'admin: what is wrong?', fields: { ...read('admin'), body: { op: 'explain' } } },
    {
      name: 'welcome',
      fields: {
        ...read('welcome', { requestId: 0 }),
        body: {
          version: 1,
          clusterId: '0123456789abcdef',
          nodeId: 1,
          leader,
          maxFrameBytes: 4_194_304,
          maxWindow: 65_536,
        },
      },
    },
    {
      name: 'welcome while nobody leads',
      fields: {
        ...read('welcome', { requestId: 0 }),
        body: {
          version: 1,
          clusterId: '0123456789abcdef',
          nodeId: 1,
          leader: null,
          maxFrameBytes: 4_194_304,
          maxWindow: 65_536,
        },
      },
    },
    answer('created', Status.ok, null),
    answer('it was there already', Status.exists, null),
    answer('size after a push', Status.ok, 300),
    answer('a value', Status.ok, { id: 1, tags: ['a', 'b'] }),
    answer('nothing on the stack', Status.empty, null),
    answer('no such stack', Status.notFound, null),
    answer('ping', Status.ok),
    answer('session expired', Status.sessionExpired, null),
    answer('nobody leads', Status.noLeader, { code: 'NO_LEADER', message: 'no leader is known' }),
    answer('no room on the disk', Status.diskFull, {
      code: 'DISK_FULL',
      message: 'the disk of the leader is nearly full',
    }),
    answer('a change that is refused', Status.refused, {
      code: 'WOULD_LOSE_QUORUM',
      message: 'of 3 new voters 1 is alive',
    }),
    answer('unknown', Status.unknown, {
      code: 'OUTCOME_UNKNOWN',
      message: 'the leader was lost before it answered',
    }),
    { name: 'leader', fields: { ...read('leader', { requestId: 0 }), body: { leader } } },
    { name: 'no leader', fields: { ...read('leader', { requestId: 0 }), body: { leader: null } } },
    {
      name: 'error',
      fields: {
        ...read('error', { requestId: 0 }),
        body: { code: 'TOO_LARGE', message: 'frame of 5000000 bytes; the limit is 4194304' },
      },
    },
  ],
  codec.encodeClientFrame,
  codec.decodeClientFrame,
);

golden(
  'values.json',
  'Values and their only encoding. {"$bigint"}, {"$bin"} (hex), {"$time"} and {"$float"} stand for what JSON cannot say.',
  [
    null,
    true,
    false,
    0,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    4_294_967_295,
    4_294_967_296,
    9_007_199_254_740_991,
    { $bigint: '9007199254740992' },
    { $bigint: '18446744073709551615' },
    { $bigint: '-9223372036854775808' },
    -1,
    -32,
    -33,
    -128,
    -129,
    -32_768,
    -32_769,
    -2_147_483_648,
    -2_147_483_649,
    0.5,
    -1e300,
    { $float: 'Infinity' },
    '',
    'wood',
    'x'.repeat(31),
    'x'.repeat(32),
    'Grüße, 木材 🪵',
    { $bin: '' },
    { $bin: '00ff' },
    { $time: '2026-01-02T03:04:05.678Z' },
    [],
    [1, [2, [3]]],
    {},
    { a: 1, b: { c: null } },
    [{ $bigint: '9007199254740993' }, 4_294_967_296],
  ].map((value) => ({ name: JSON.stringify(value), fields: { value } })),
  codec.encodeJsonValue,
  (bytes) => ({ value: codec.jsonOf(decodeValue(bytes)) }),
);

const config = {
  voters: [1, 2, 3],
  outgoing: [],
  learners: [4],
  learnersNext: [],
  members: [1, 2, 3, 4].map((id) => ({ id, peerAddress: `10.0.0.${id}:12379` })),
};
const push = hex(
  codec.encodeClientFrame(write('command', { session: 12, seq: 1, body: [StackOp.push, 'jobs', 'x'] })),
);
const records: Vector[] = [
  {
    name: 'noop: what a new leader appends first',
    fields: { kind: 0, term: 5, index: 900, timeMs: 1_767_323_045_678, bodyHex: '' },
  },
  {
    name: 'batch: client frames, back to back',
    fields: { kind: 1, term: 5, index: 901, timeMs: 1_767_323_045_679, bodyHex: push + push },
  },
  {
    name: 'config',
    fields: { kind: 2, term: 6, index: 902, timeMs: 1_767_323_045_680, bodyHex: hex(encodeConfig(config)) },
  },
  {
    name: 'largest numbers',
    fields: {
      kind: 1,
      term: Number.MAX_SAFE_INTEGER,
      index: Number.MAX_SAFE_INTEGER,
      timeMs: Number.MAX_SAFE_INTEGER,
      bodyHex: '01',
    },
  },
];
golden(
  'records.json',
  'Log entries as they travel in appends and lie on disk.',
  records,
  codec.encodeRecord,
  codec.decodeRecord,
);

const recordHex = records.slice(0, 3).map(({ fields }) => hex(codec.encodeRecord(fields)));
const entries = records.slice(0, 3).map(({ fields }, i) => ({
  term: fields['term'],
  kind: fields['kind'],
  sizeBytes: recordHex[i]!.length / 2,
  ...(fields['kind'] === 2 ? { config } : {}),
}));
const peer = (kind: string, fields: Fields, note = ''): Vector => ({
  name: `${kind}${note}`,
  fields: { kind, ...fields },
});
const introduction = {
  clusterId: '0123456789abcdef',
  from: 1,
  to: 2,
  incarnation: '00ff00ff00ff00ff',
  clientAddress: '127.0.0.1:12380',
  maxFrameBytes: 16_842_752,
  features: [],
};
golden(
  'peer-frames.json',
  'Frames between nodes. The preamble before a hello is f643574401010000. "entries" of an append is what its "records" say.',
  [
    peer('hello', { ...introduction, lane: Lane.data }),
    peer('welcome', { ...introduction, from: 2, to: 1, version: 1 }),
    peer('refused', { code: 'WRONG_CLUSTER', message: 'node 1 belongs to another cluster' }),
    peer(
      'hello',
      {
        ...introduction,
        peerAddress: '127.0.0.1:12379',
        configIndex: 902,
        leaseMs: 1000,
        priority: 2,
        lane: Lane.control,
      },
      ', with everything',
    ),
    peer('introduce', {}),
    peer('introduction', {
      clusterId: '0123456789abcdef',
      nodeId: 2,
      incarnation: '11ff11ff11ff11ff',
      peerAddress: '127.0.0.1:22379',
      clientAddress: '127.0.0.1:22380',
      empty: false,
      config: {
        ...config,
        members: [...config.members, { id: 9, peerAddress: '10.0.0.9:12379', incarnation: '99ff' }],
        retired: [5, 6],
      },
      configIndex: 902,
    }),
    peer('append', {
      term: 6,
      prevIndex: 899,
      prevTerm: 4,
      commit: 899,
      last: 902,
      entries,
      records: recordHex,
    }),
    peer(
      'append',
      { term: 6, prevIndex: 902, prevTerm: 6, commit: 902, last: 902, entries: [], records: [] },
      ', empty',
    ),
    peer('appendAck', { term: 6, match: 902, rejected: false, prevIndex: 0, hintIndex: 0, hintTerm: 0 }),
    peer(
      'appendAck',
      { term: 6, match: 0, rejected: true, prevIndex: 899, hintIndex: 850, hintTerm: 3 },
      ', rejected',
    ),
    peer('heartbeat', { term: 6, commit: 902, readSeq: 17, sentAtMs: 123_456.75 }),
    peer('heartbeatAck', { term: 6, readSeq: 17, sentAtMs: 123_456.75 }),
    peer('voteRequest', { term: 7, pre: true, lastIndex: 902, lastTerm: 6, transfer: false }, ', pre-vote'),
    peer(
      'voteRequest',
      { term: 7, pre: false, lastIndex: 902, lastTerm: 6, transfer: true },
      ', asked for by the leader',
    ),
    peer('voteResponse', { term: 7, pre: true, granted: true }, ', granted'),
    peer('voteResponse', { term: 8, pre: false, granted: false }, ', refused'),
    peer('timeoutNow', { term: 6 }),
    peer('readRequest', { term: 6, token: 5 }),
    peer('readResponse', { term: 6, token: 5, index: 902, ok: true }),
    peer('lostLog', { term: 6, nonce: 77 }),
    peer('refetch', { term: 6, nonce: 77, index: 902 }),
    peer('forward', { token: 9, run: push }),
    peer('admin', {
      token: 10,
      run: hex(codec.encodeClientFrame(read('admin', { body: { op: 'members' } }))),
    }),
    peer('adminReply', { token: 10, run: hex(codec.encodeClientFrame(read('response', { body: {} }))) }),
    peer('forwardReply', { token: 9, run: hex(codec.encodeClientFrame(read('response', { body: 1 }))) }),
    peer('report', {
      low: true,
      unwell: true,
      quarantined: true,
      freeBytes: 5_000_000,
      checkIndex: 768,
      answersHash: 0xfedc_ba98,
    }),
    peer('snapshotBegin', {
      leaderTerm: 6,
      meta: { index: 900, term: 5, config, configIndex: 1 },
      sizeBytes: 1_000_000,
      digest: 'ab'.repeat(32),
    }),
    peer('snapshotChunk', { leaderTerm: 6, index: 900, term: 5, offset: 262_144, content: '000102' }),
    peer('snapshotAck', { currentTerm: 6, index: 900, term: 5, nextOffset: 262_147, status: 0 }),
  ],
  codec.encodePeerFrame,
  codec.decodePeerFrame,
);

interface Step {
  from: 'client' | 'node';
  note: string;
  hex: string;
}

/** A whole conversation: the frames of the client, and what the machine answers to them. */
function conversation(): Step[] {
  const state = new ReplicatedState(new StackMachine());
  const steps: Step[] = [];
  let index = 0;
  const welcome = codec.encodeClientFrame({
    ...read('welcome', { requestId: 0 }),
    body: {
      version: 1,
      clusterId: '0123456789abcdef',
      nodeId: 1,
      leader: { id: 1, address: '127.0.0.1:12380' },
      maxFrameBytes: 4_194_304,
      maxWindow: 65_536,
    },
  });
  const connect = (note: string): void => {
    steps.push({ from: 'client', note, hex: hex(encodePreamble()) });
    steps.push({ from: 'node', note: 'welcome: version 1, node 1 leads', hex: hex(welcome) });
  };
  const ask = (note: string, fields: Fields): Uint8Array => {
    const frame = codec.encodeClientFrame(fields);
    steps.push({ from: 'client', note, hex: hex(frame) });
    return frame;
  };
  const reply = (note: string, frame: Uint8Array): void => {
    const out = new ByteWriter(256);
    if (isWriteKind(frameKind(frame, 0))) {
      t.equal(checkWriteFrame(frame, 0, frame.length), Status.ok);
      state.applyBatch(frame, 0, frame.length, { index: ++index, timeMs: 1000 }, [
        { end: frame.length, out },
      ]);
    } else {
      t.equal(checkReadFrame(frame, 0, frame.length), Status.ok);
      state.query(frame, 0, frame.length, out);
    }
    steps.push({ from: 'node', note, hex: hex(out.take()) });
  };

  connect('preamble: versions 1 to 1');
  reply(
    'the session has number 1',
    ask('openSession, lifetime 60 s', {
      ...write('openSession', { body: { ttlMs: 60_000, nonce: 'n1' } }),
      requestId: 1,
    }),
  );
  const first = ask('push "a" to "jobs": session 1, seq 1', {
    kind: 'command',
    requestId: 2,
    window: 0,
    session: 1,
    seq: 1,
    body: [StackOp.push, 'jobs', 'a'],
  });
  const second = ask('push "b", without waiting: seq 2, of which seq 1 is still unanswered', {
    kind: 'command',
    requestId: 3,
    window: 1,
    session: 1,
    seq: 2,
    body: [StackOp.push, 'jobs', 'b'],
  });
  reply('the stack has 1', first);
  // The answer to the second is lost with the connection.
  reply('(lost with the connection) the stack has 2', second);
  steps.pop();
  connect('the connection broke before the answer to seq 2; a new one');
  reply(
    'the answer of the first time: the stack has 2, "b" was pushed once',
    ask('seq 2 again, window 0 as seq 1 is answered', {
      kind: 'command',
      requestId: 1,
      window: 0,
      session: 1,
      seq: 2,
      body: [StackOp.push, 'jobs', 'b'],
    }),
  );
  reply(
    '"b"',
    ask('pop: seq 3', {
      kind: 'command',
      requestId: 2,
      window: 0,
      session: 1,
      seq: 3,
      body: [StackOp.pop, 'jobs'],
    }),
  );
  reply(
    '"a"',
    ask('linearizable query: top', { kind: 'query', requestId: 3, flags: 0, body: [StackOp.top, 'jobs'] }),
  );
  reply(
    'notFound',
    ask('pop of a stack that does not exist: seq 4', {
      kind: 'command',
      requestId: 4,
      window: 0,
      session: 1,
      seq: 4,
      body: [StackOp.pop, 'none'],
    }),
  );
  reply('done', ask('closeSession', { ...write('closeSession', { session: 1 }), requestId: 5 }));
  return steps;
}

t.test('session.json', async (t) => {
  const about =
    'One conversation, in order: a session, pipelined pushes, a lost connection, a retry. Part of PROTOCOL.md.';
  const made = { about, steps: conversation() };
  const path = resolve(directory, 'session.json');
  if (process.env['UPDATE_VECTORS']) writeFileSync(path, `${JSON.stringify(made, null, 2)}\n`);
  t.same(JSON.parse(readFileSync(path, 'utf8')), made, 'the machine answers as the file says');
});

t.test('every kind of frame has a vector', async (t) => {
  const named = (file: string): Set<unknown> => {
    const { vectors } = JSON.parse(readFileSync(resolve(directory, file), 'utf8')) as { vectors: Vector[] };
    return new Set(vectors.map((v) => v.fields['kind']));
  };
  const client = named('client-frames.json');
  for (const kind of Object.keys(Kind)) t.ok(client.has(kind), kind);
  const peers = named('peer-frames.json');
  for (const kind of Object.keys(PeerKind)) t.ok(peers.has(kind), kind);
});
