// The programs in examples/, each in an empty directory with the package installed.
import { readdirSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import ts from 'typescript';
import { TestCluster } from '../e2e/support/cluster.ts';
import { http } from '../e2e/support/http-stacks.ts';
import { until } from '../e2e/support/until.ts';
import { documentedOutput } from './support/documented-output.ts';
import { DocumentedPorts } from './support/documented-ports.ts';
import { readDocument, ROOT } from './support/fences.ts';
import { Workplace } from './support/workplace.ts';

type Check = (t: Test, code: string) => Promise<void>;

/** Programs that need a cluster, or do not end by themselves. All others run alone. */
const CHECKS = new Map<string, Check>([
  ['client.js', checkClient],
  ['http-server.js', checkServer],
]);

for (const file of readdirSync(path.join(ROOT, 'examples')).filter((name) => /\.[jt]s$/.test(name))) {
  t.test(file, (t) => (CHECKS.get(file) ?? checkProgram)(t, programOf(file)));
}

t.test('the list of examples names each of them', async (t) => {
  const list = readDocument('examples/README.md');
  for (const file of readdirSync(path.join(ROOT, 'examples')))
    if (file !== 'README.md') t.match(list, `](${file})`);
});

/** What runs on every version of Node: examples in TypeScript lose their types, and keep their comments. */
function programOf(file: string): string {
  const code = readDocument(`examples/${file}`);
  if (!file.endsWith('.ts')) return code;
  const compilerOptions = { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext };
  return ts.transpileModule(code, { compilerOptions }).outputText;
}

async function checkProgram(t: Test, code: string): Promise<void> {
  const place = await Workplace.open(t);
  const result = await place.module(await DocumentedPorts.ofItsOwn().replaceIn(code));
  t.equal(result.code, 0, result.stderr);
  t.same(result.stdout.trimEnd().split('\n'), documentedOutput(code), 'prints what the comments say');
}

async function checkClient(t: Test, code: string): Promise<void> {
  const cluster = await TestCluster.start(t);
  const place = await Workplace.open(t);
  const result = await place.module(code, cluster.addresses);
  t.equal(result.code, 0, result.stderr);
  const [size, popped, list] = result.stdout.split(/\n(?=\[|jobs)/);
  t.equal(size, '10000');
  t.match(popped, /^\[ \{ id: \d+ \}, \{ id: \d+ \}, \{ id: \d+ \} \]$/);
  t.equal(list, 'jobs 9998\n', 'three gone, one more pushed');
}

async function checkServer(t: Test, code: string): Promise<void> {
  const place = await Workplace.open(t);
  const program = await DocumentedPorts.ofItsOwn().replaceIn(code);
  const url = /curl (http:\S+) /.exec(program)![1]!;
  const server = place.startModule(program);
  const answer = await until('the server to answer', async () => {
    if (server.child.exitCode !== null) throw new Error(`it ended: ${server.stderr()}`);
    const tried = await http(url, 'jobs,hello');
    return tried.status === 200 ? tried : null;
  });
  t.equal(answer.body.toString(), '1\n');
  t.match(server.stdout(), `${new URL(url).origin}/ until Ctrl-C`);
  server.child.kill('SIGINT');
  t.equal((await server.finished).code, 0, 'Ctrl-C ends it');
}
