import type { Test } from 'tap';
import { startServer } from '../../../lib/server/index.ts';
import type { Server, ServerLimits } from '../../../lib/server/index.ts';
import { FakeNode } from './fake-node.ts';

/** A front door, closed with the test, and the node behind it. */
export async function openServer(
  t: Test,
  limits: Partial<ServerLimits> = {},
): Promise<{ node: FakeNode; server: Server; port: number }> {
  const node = new FakeNode();
  const server = await startServer({ node, listen: { port: 0 }, limits: { closeGraceMs: 500, ...limits } });
  t.teardown(() => server.close());
  return { node, server, port: server.port };
}
