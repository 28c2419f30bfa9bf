// docs/http.md names every request that a node answers.
import t from 'tap';
import { Client } from '../../lib/client/index.ts';
import { adminRoutes } from '../../lib/server/http-admin.ts';
import { pageRoutes } from '../../lib/server/http-pages.ts';
import { backupRoute } from '../../lib/server/http-backup.ts';
import { commandRoutes } from '../../lib/server/http-routes.ts';
import { stackRoutes } from '../../lib/server/http-stacks.ts';
import { startServer } from '../../lib/server/index.ts';
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
    backupRoute(node),
  ].map(({ method, path }) => `${method} ${path.replaceAll(':name', 'NAME')}`);
  const text = readDocument('docs/http.md');
  const documented = [...text.matchAll(/^\| `((?:GET|PUT|POST|DELETE) \/[^`]*)`/gm)].map(
    ([, route]) => route!,
  );
  for (const route of routes) if (route !== 'GET /') t.ok(documented.includes(route), route);

  const server = await startServer({ node, listen: { port: 0 } });
  t.teardown(() => server.close());
  for (const route of documented) {
    const [method, path] = route.split(' ') as [string, string];
    // A WebSocket is no route of its own kind: the request is, as it stands, refused for want of an upgrade.
    if (path === '/v1/live') continue;
    const answer = await fetch(`http://${server.address}${path}`, { method: 'OPTIONS' });
    t.ok(answer.headers.get('allow')?.split(', ').includes(method), `${route} is there`);
  }
});
