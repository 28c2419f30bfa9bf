// docs/http.md names every request that a node answers.
import t from 'tap';
import { Client } from '../../lib/client/index.ts';
import { adminRoutes } from '../../lib/server/http-admin.ts';
import { pageRoutes } from '../../lib/server/http-pages.ts';
import { commandRoutes } from '../../lib/server/http-routes.ts';
import { stackRoutes } from '../../lib/server/http-stacks.ts';
import { stackCalls } from '../../lib/server/stack-calls.ts';
import { FakeNode } from '../server/support/fake-node.ts';
import { readDocument } from './support/fences.ts';

t.test('every route is documented, and nothing else', async (t) => {
  const node = new FakeNode();
  const client = Client.local(node);
  t.teardown(() => client.close());
  const stacks = stackCalls(client);
  const routes = [
    ...pageRoutes(node),
    ...commandRoutes(stacks),
    ...stackRoutes(stacks),
    ...adminRoutes(client.admin),
  ].map(({ method, path }) => `${method} ${path.replaceAll(':name', 'NAME')}`);
  const text = readDocument('docs/http.md');
  const documented = [...text.matchAll(/^\| `((?:GET|PUT|POST|DELETE) \/[^`]*)`/gm)].map(
    ([, route]) => route!,
  );
  for (const route of routes) if (route !== 'GET /') t.ok(documented.includes(route), route);
  // Routes that are made elsewhere are asked for when they are called: test/docs/shell.test.ts.
  t.ok(documented.length >= routes.length - 1);
});
