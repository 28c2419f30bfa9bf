/**
 * Whoever imports this starts nodes in this process, with their threads, and those are to be what users have. A thread
 * takes over the options its process was started with, and so loads what the test runner watches imports with: a log
 * thread then needs a second to start, and not a twentieth.
 */
import threads from 'node:worker_threads';
import type { WorkerOptions } from 'node:worker_threads';
// Threads that take nothing over look at `NODE_OPTIONS` again.
import './plain-children.ts';

class PlainWorker extends threads.Worker {
  constructor(file: string | URL, options: WorkerOptions = {}) {
    super(file, { ...options, execArgv: options.execArgv ?? [] });
  }
}
Object.assign(threads, { Worker: PlainWorker });
