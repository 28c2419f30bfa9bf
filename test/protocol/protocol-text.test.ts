import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';

import * as constants from '../../protocol/constants.ts';
import { ErrorCodes, errorCodeOfStatus } from '../../protocol/errors.ts';

const text = readFileSync(resolve('protocol/PROTOCOL.md'), 'utf8');

t.test('PROTOCOL.md has every name with its number', async (t) => {
  const { Kind, Lane, PeerKind, ReadLevel, SnapshotStatus, StackOp, Status } = constants;
  const rows = text.split('\n').filter((line) => line.startsWith('|'));
  const has = (number: string, name: string): void => {
    t.ok(
      rows.some((row) => row.startsWith(`| ${number} | \`${name}\``)),
      `${number} ${name}`,
    );
  };
  const asHex = (number: number): string => `0x${number.toString(16).padStart(2, '0')}`;
  for (const [name, number] of [...Object.entries(Kind), ...Object.entries(PeerKind)])
    has(asHex(number), name);
  for (const table of [Status, StackOp, ReadLevel, Lane, SnapshotStatus]) {
    for (const [name, number] of Object.entries(table)) has(String(number), name);
  }
  for (const [name, limit] of Object.entries(constants.Limits)) {
    const row = rows.find(
      (line) => line.includes(`\`${name}\``) && line.includes(limit.toLocaleString('en')),
    );
    t.ok(row, `${name} ${limit}`);
  }
});

t.test('the session in PROTOCOL.md is the session of the vectors, byte for byte', async (t) => {
  const { steps } = JSON.parse(readFileSync(resolve('protocol/vectors/session.json'), 'utf8')) as {
    steps: { from: string; hex: string }[];
  };
  const section = text.slice(text.indexOf('## 14.'), text.indexOf('## 15.'));
  const block = section.slice(section.indexOf('```') + 3, section.lastIndexOf('```'));
  const told: { from: string; hex: string }[] = [];
  for (const line of block.split('\n')) {
    if (/^[<>] /.test(line))
      told.push({ from: line.startsWith('>') ? 'client' : 'node', hex: line.slice(2) });
    else if (line.startsWith('  ')) told.at(-1)!.hex += line;
  }
  t.same(
    told.map(({ from, hex }) => ({ from, hex: hex.replaceAll(' ', '') })),
    steps.map(({ from, hex }) => ({ from, hex })),
  );
});

t.test('docs/errors.md lists exactly the codes there are, with an outcome for each', async (t) => {
  const rows = readFileSync(resolve('docs/errors.md'), 'utf8')
    .split('\n')
    .map((line) => /^\| `(\w+)` \| .+ \| (not_applied|unknown|either) \| .+ \|$/.exec(line))
    .filter((row) => row !== null);
  t.same(rows.map((row) => row[1]).sort(), [...ErrorCodes].sort());
  t.equal(rows.find((row) => row[1] === 'OUTCOME_UNKNOWN')![2], 'unknown');
});

t.test('statuses that are failures have a code, results have none', async (t) => {
  const { Status } = constants;
  for (const [name, status] of Object.entries(Status)) {
    const code = errorCodeOfStatus(status);
    if (status < Status.notFound || status === Status.exists) t.equal(code, undefined, name);
    else t.ok(ErrorCodes.includes(code!), name);
  }
});
