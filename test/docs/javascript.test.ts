// Every program that a document shows is run, prints what the comments say, and ends by itself.
import t from 'tap';
import { TestCluster } from '../e2e/support/cluster.ts';
import { documentedOutput } from './support/documented-output.ts';
import { DocumentedPorts } from './support/documented-ports.ts';
import { documents, fences } from './support/fences.ts';
import { Workplace } from './support/workplace.ts';

/** Parts of programs: what stands around them in a whole one, and what that prints. They need a running cluster. */
const FRAGMENTS = new Map([
  [
    "README.md: const client = await Client.connect({ addresses: ['127.0.0.1:12380', '127.0.0.1:22380'] });",
    {
      before: "import { Client } from 'cordwood/client';",
      after: "console.log(await client.push('fragment', 1)); await client.close();",
      prints: ['1'],
    },
  ],
  [
    "README.md: import { startServer } from 'cordwood/server';",
    {
      before: `
        import { RaftNode, StackMachine } from 'cordwood';
        const machine = new StackMachine();
        const node = await RaftNode.start({ id: 1, cluster: ['127.0.0.1:0'], dataDir: 'data', machine });`,
      after: `
        const pushed = await fetch('http://' + server.address + '/sPush', { method: 'POST', body: 'a,b' });
        console.log(pushed.status, (await pushed.text()).trim());
        await server.close();
        await node.close();`,
      prints: ['200 1'],
    },
  ],
  [
    'docs/errors.md: try {',
    {
      before: `
        import { Client, CordwoodError } from 'cordwood';
        const real = await Client.connect({ addresses: ['127.0.0.1:12380'] });
        await real.close();
        const timeout = { push: () => { throw new CordwoodError('TIMEOUT', 'late', { outcome: 'unknown' }) } };
        const checkBeforeRetrying = () => console.log('check');
        const retryLater = () => console.log('later');
        const job = {};
        for (const client of [real, timeout])`,
      after: '',
      prints: ['later', 'check'],
    },
  ],
]);

const blocks = documents()
  .flatMap((file) => fences(file))
  .filter(({ language }) => ['js', 'mjs', 'javascript', 'ts', 'typescript'].includes(language));
const programs = blocks.filter(({ name }) => !FRAGMENTS.has(name));
const fragments = blocks.filter(({ name }) => FRAGMENTS.has(name));

for (const block of programs) {
  t.test(`${block.file}, line ${block.line}`, async (t) => {
    const place = await Workplace.open(t);
    const { code, stdout, stderr } = await place.module(
      await DocumentedPorts.ofItsOwn().replaceIn(block.code),
    );
    t.equal(code, 0, stderr);
    t.same(stdout.trimEnd().split('\n'), documentedOutput(block.code), 'prints what the comments say');
  });
}

t.test('fragments', async (t) => {
  t.same(
    fragments.map(({ name }) => name).sort(),
    [...FRAGMENTS.keys()].sort(),
    'each named fragment is in its document',
  );
  const cluster = await TestCluster.start(t);
  const place = await Workplace.open(t);
  for (const block of fragments) {
    const { before, after, prints } = FRAGMENTS.get(block.name)!;
    const program = `${before}\n${block.code}\n${after}`
      .replaceAll('127.0.0.1:12380', cluster.addresses[0]!)
      .replaceAll('127.0.0.1:22380', cluster.addresses[1]!)
      .replace('port: 12380', 'port: 0');
    const { code, stdout, stderr } = await place.module(program);
    t.equal(code, 0, `${block.name}\n${stderr}`);
    t.same(stdout.trimEnd().split('\n'), prints, block.name);
  }
});
