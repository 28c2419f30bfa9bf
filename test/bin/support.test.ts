import fc from 'fast-check';
import t from 'tap';
import { addressList, clusterAddresses } from '../../bin/support/addresses.ts';
import { ExitCode, NegativeAnswer, oneLine, UsageError, verdictOf } from '../../bin/support/exit-codes.ts';
import { systemError } from '../../bin/support/system-errors.ts';
import { humanLine } from '../../bin/support/logger.ts';
import { LineSplitter } from '../../bin/nc/line-splitter.ts';
import { nodeSettings } from '../../bin/support/run-node.ts';
import type { StartOptions } from '../../bin/commands/start.ts';
import { CordwoodError } from '../../protocol/errors.ts';

t.test('how each end of a command is told', async (t) => {
  const cases: [unknown, number, string][] = [
    [new UsageError('no'), ExitCode.usage, 'cordwood: no'],
    [new NegativeAnswer('EMPTY', 'nothing'), ExitCode.negative, 'cordwood: EMPTY nothing (not_applied)'],
    [new CordwoodError('NOT_FOUND', 'x'), ExitCode.negative, 'cordwood: NOT_FOUND x (not_applied)'],
    [new CordwoodError('NO_LEADER', 'x'), ExitCode.notApplied, 'cordwood: NO_LEADER x (not_applied)'],
    [
      new CordwoodError('TIMEOUT', 'x', { outcome: 'unknown' }),
      ExitCode.unknown,
      'cordwood: TIMEOUT x (unknown)',
    ],
    [
      new CordwoodError('DIRECTORY_LOCKED', 'x'),
      ExitCode.failed,
      'cordwood: DIRECTORY_LOCKED x (not_applied)',
    ],
    [new CordwoodError('BAD_OPTION', 'x'), ExitCode.usage, 'cordwood: BAD_OPTION x (not_applied)'],
    [new CordwoodError('BAD_COMMAND', 'x'), ExitCode.usage, 'cordwood: BAD_COMMAND x (not_applied)'],
    [new CordwoodError('MALFORMED', 'x'), ExitCode.usage, 'cordwood: MALFORMED x (not_applied)'],
    [new Error('two\nlines'), ExitCode.failed, 'cordwood: two\\nlines'],
    ['text', ExitCode.failed, 'cordwood: text'],
  ];
  for (const [error, exitCode, line] of cases) t.same(verdictOf(error), { exitCode, line });
});

t.test('errors of the system have a code of this package', async (t) => {
  const error = (code: string, text: string, syscall: string): Error =>
    Object.assign(new Error(text), { code, syscall });
  const cases: [Error, number, string][] = [
    [
      error('EROFS', "EROFS: read-only file system, mkdir '/ro/x'", 'mkdir'),
      ExitCode.usage,
      "BAD_OPTION mkdir '/ro/x': read-only file system (EROFS) (not_applied)",
    ],
    [
      error('EACCES', 'listen EACCES: permission denied 127.0.0.1:80', 'listen'),
      ExitCode.usage,
      'BAD_OPTION listen EACCES: permission denied 127.0.0.1:80 (not_applied)',
    ],
    [
      error('ENOSPC', 'ENOSPC: no space left on device, write', 'write'),
      ExitCode.notApplied,
      'DISK_FULL write: no space left on device (ENOSPC) (not_applied)',
    ],
    [
      error('EMFILE', "EMFILE: too many open files, open 'x'", 'open'),
      ExitCode.failed,
      "LOG_FAILED open 'x': too many open files (EMFILE) (not_applied)",
    ],
    [
      error('ECONNRESET', 'read ECONNRESET', 'read'),
      ExitCode.unknown,
      'CONNECTION_LOST read ECONNRESET (unknown)',
    ],
  ];
  for (const [given, exitCode, line] of cases)
    t.same(verdictOf(given), { exitCode, line: `cordwood: ${line}` });
  t.equal(systemError(Object.assign(new TypeError('x'), { code: 'ERR_INVALID_ARG_TYPE' })), null);
  t.equal(systemError(new CordwoodError('BUSY', 'x')), null);
});

t.test('text from elsewhere never breaks the line or the terminal', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => !/[\p{Cc}\u2028\u2029\u202e]/u.test(oneLine(text))),
  );
  t.equal(oneLine('a\n\u001b[31mb\u202e'), 'a\\n\\u001b[31mb\\u202e');
});

t.test('where the cluster is', async (t) => {
  t.same(addressList('http://a:1, [::1]:2 ,b:3/', 'x'), ['a:1', '[::1]:2', 'b:3']);
  t.throws(() => addressList('a:1,,b:2', '--addr'), /--addr: "" is not host:port/);
  delete process.env['CORDWOOD_ADDR'];
  t.equal(clusterAddresses(undefined).length, 5);
  process.env['CORDWOOD_ADDR'] = 'a:1';
  t.same(clusterAddresses(undefined), ['a:1']);
  t.same(clusterAddresses('b:2'), ['b:2']);
  delete process.env['CORDWOOD_ADDR'];
});

t.test('log lines for people', async (t) => {
  const line = humanLine(
    { level: 40, time: 0, msg: 'odd\nthing', peer: 3, at: '127.0.0.1:1', why: 'a b', err: { message: 'x' } },
    false,
  );
  t.equal(line, '00:00:00.000 WARN  odd\\nthing  peer=3 at=127.0.0.1:1 why="a b" err=x\n');
});

t.test('lines are cut the same way however they arrive', async (t) => {
  fc.assert(
    fc.property(
      fc.array(
        fc.string({ maxLength: 20 }).map((s) => s.replace(/\n/g, '')),
        { minLength: 1 },
      ),
      fc.array(fc.nat(30)),
      (lines, cuts) => {
        const bytes = Buffer.from(lines.join('\n'));
        const splitter = new LineSplitter(1_000);
        const found: string[] = [];
        let at = 0;
        for (const cut of [...cuts, bytes.length]) {
          for (const line of splitter.push(bytes.subarray(at, at + cut))) found.push(line.toString());
          at += cut;
        }
        const last = splitter.end();
        if (last !== null) found.push(last.toString());
        // An empty last line is no line.
        const expected = lines.at(-1) === '' ? lines.slice(0, -1) : lines;
        return JSON.stringify(found) === JSON.stringify(expected);
      },
    ),
  );
  const splitter = new LineSplitter(10);
  splitter.push(Buffer.alloc(10, 0x61));
  t.notOk(splitter.overlong);
  t.same(splitter.push(Buffer.from('b\nc\n')), []);
  t.ok(splitter.overlong);
  t.same(splitter.push(Buffer.from('d\n')), []);
  t.equal(splitter.end(), null);
  const whole = new LineSplitter(3);
  t.same(whole.push(Buffer.from('abc\nabcd\ne\n')).map(String), ['abc'], 'what came before is not lost');
  t.ok(whole.overlong);
});

t.test('what a node is told', async (t) => {
  const base: StartOptions = {
    id: 2,
    cluster: 'http://a:1,http://b:2',
    port: 5,
    host: '127.0.0.1',
    logLevel: 'info',
    logFormat: 'human',
  };
  t.match(nodeSettings(base), {
    id: 2,
    cluster: ['a:1', 'b:2'],
    clientAddress: '127.0.0.1:5',
    dataDir: /2$/,
  });
  t.equal(
    nodeSettings({ ...base, host: '0.0.0.0' }).clientAddress,
    'b:5',
    'reached where its peers reach it',
  );
  t.equal(nodeSettings({ ...base, clientAddress: 'http://c:9' }).clientAddress, 'c:9');
  t.equal(nodeSettings({ ...base, snapshotLogMb: 2 }).snapshotLogBytes, 2 << 20);
  t.throws(() => nodeSettings({ ...base, id: 3 }), UsageError);
  t.throws(() => nodeSettings({ ...base, clientAddress: 'c:9,d:9' }), {
    message: /--client-address takes one/,
  });
  t.throws(() => nodeSettings({ ...base, peerListen: 'c:9,d:9' }), { message: /--peer-listen takes one/ });
  const any = { ...base, port: 0 };
  t.throws(() => nodeSettings(any), UsageError, 'the others would send clients to port 0');
  t.throws(() => nodeSettings({ ...any, id: 1, cluster: 'a:1', join: true }), UsageError);
  t.equal(nodeSettings({ ...any, clientAddress: 'c:9' }).clientAddress, 'c:9');
  t.equal(nodeSettings({ ...any, id: 1, cluster: 'a:1' }).clientAddress, '127.0.0.1:0', 'a node alone');
});
