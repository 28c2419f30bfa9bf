/**
 * Whoever imports this starts processes, or nodes with their threads in this one, and they are to start as users' do.
 * The test runner has all of them load what it watches imports with, for coverage: processes by `NODE_OPTIONS`, which it
 * puts into the environment of each, threads because they take over the options of their process. A command then takes
 * three times as long to start, and a log thread a second in place of a twentieth.
 */
import threads from 'node:worker_threads';
import type { WorkerOptions } from 'node:worker_threads';

/** What `process-on-spawn`, of the test runner, keeps for all its copies in a process. */
const ON_SPAWN = Symbol.for('process-on-spawn@*:singletonId');

class PlainWorker extends threads.Worker {
  constructor(file: string | URL, options: WorkerOptions = {}) {
    // Whoever takes nothing over from its process looks at `NODE_OPTIONS` once more.
    super(file, { ...options, execArgv: options.execArgv ?? [] });
  }
}

if (process.env['_TAPJS_PROCESSINFO_COVERAGE_'] === '0') {
  const onSpawn = Reflect.get(globalThis, ON_SPAWN) as { listeners: unknown[] } | undefined;
  if (onSpawn !== undefined) onSpawn.listeners = [];
  Object.assign(threads, { Worker: PlainWorker });
  const ours = (process.env['NODE_OPTIONS'] ?? '').split(' ').filter((option) => !option.includes('@tapjs'));
  process.env['NODE_OPTIONS'] = ours.join(' ');
}
