import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import type { CarryOut } from './http-pipeline.ts';
import { errorReply } from './http-reply.ts';
import type { Reply } from './http-reply.ts';
import { requestTarget } from './http-request.ts';
import { METHODS } from './http-routes.ts';
import type { Route } from './http-routes.ts';

export interface Bindings {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
}

/** Answers a request by its route, or with what is to be said where there is none. Never rejects. */
export type Answer = (bindings: Bindings, route: Route | Reply) => Promise<Response>;

/** Finds the route of a request, or says that there is none: 404, 405 with the methods that go, and OPTIONS. */
export function createRouter(routes: readonly Route[], answer: Answer): CarryOut {
  const app = new Hono<{ Bindings: Bindings }>({
    // `env` holds the bindings, though the type of this option does not say so.
    getPath: (_request, extra) => pathOf((extra as { env: Bindings }).env.incoming),
  });
  const methods = new Map<string, string[]>();
  for (const route of routes) {
    app.on(route.method, route.path, (c) => answer(c.env, route));
    const known = methods.get(route.path) ?? [];
    known.push(...(route.method === 'GET' ? ['GET', 'HEAD'] : [route.method]));
    methods.set(route.path, known);
  }
  for (const [path, known] of methods) {
    const headers = { allow: [...known, 'OPTIONS'].join(', ') };
    app.on('OPTIONS', path, (c) => answer(c.env, { status: 204, headers }));
    const message = `${path} takes ${known.join(', ')}`;
    app.all(path, (c) => answer(c.env, errorReply(405, 'UNSUPPORTED', message, 'not_applied', headers)));
  }
  app.notFound((c) => answer(c.env, errorReply(404, 'NOT_FOUND', 'nothing is here; GET / lists what is')));
  const listener = getRequestListener(app.fetch, {
    overrideGlobalObjects: false,
    // HTTP/1.0 may leave the host out.
    hostname: 'localhost',
    errorHandler: (error) => {
      const message = error instanceof Error ? error.message : 'bad request';
      return new Response(errorReply(400, 'MALFORMED', message).body as string, {
        status: 400,
        headers: { 'content-type': 'application/json' },
      });
    },
  });
  return (incoming, outgoing) => {
    // Of the whole server (RFC 9110, 9.3.7): the listener could make no URL of it.
    if (incoming.method === 'OPTIONS' && incoming.url === '*') {
      void answer({ incoming, outgoing }, { status: 204, headers: { allow: METHODS.join(', ') } });
      return;
    }
    // A port may be empty (RFC 3986, 3.2.3), which the listener does not know.
    const { headers } = incoming;
    if (headers.host?.endsWith(':') === true) headers.host = headers.host.slice(0, -1);
    void listener(incoming, outgoing);
  };
}

function pathOf(incoming: IncomingMessage): string {
  const target = requestTarget(incoming);
  const mark = target.indexOf('?');
  return mark === -1 ? target : target.slice(0, mark);
}
