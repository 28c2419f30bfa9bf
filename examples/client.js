// A client of a running cluster (`npx cordwood local up` starts one): many pushes at once, and what errors tell.
import { Client, CordwoodError } from 'cordwood';

const addresses = process.argv.length > 2 ? process.argv.slice(2) : ['127.0.0.1:12380', '127.0.0.1:22380'];
const client = await Client.connect({ addresses });
client.on('leader', (leader) => console.error('leader:', leader?.id ?? 'none'));

// Calls that are not awaited travel together; a leader killed meanwhile makes none of them run twice.
const jobs = client.stack('jobs');
await Promise.all(Array.from({ length: 10_000 }, (_, i) => jobs.push({ id: i })));
console.log(await jobs.size());
console.log(await jobs.popMany(3));

try {
  await jobs.push('urgent', { timeoutMs: 500 });
} catch (error) {
  // `not_applied`: it did not happen and never will. `unknown`: it may have happened, or may happen still.
  if (CordwoodError.is(error)) console.error(error.code, error.outcome);
  else throw error;
}

for await (const { name, size } of client.list()) console.log(name, size);
await client.close();
