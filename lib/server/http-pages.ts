import type { Requests } from '../node/types.ts';
import { errorReply, jsonReply, lineReply, TEXT } from './http-reply.ts';
import type { Route } from './http-routes.ts';

/** What the node says of itself: help, health, status. */
export function pageRoutes(node: Requests): Route[] {
  return [
    {
      method: 'GET',
      path: '/',
      handle: (request) => ({ status: 200, type: TEXT, body: help(request.incoming.headers.host) }),
    },
    {
      method: 'GET',
      path: '/healthz',
      handle: (request) => lineReply(200, request.form('text'), 'ok', { alive: true }),
    },
    {
      method: 'GET',
      path: '/readyz',
      handle: (request) => {
        const { quarantine, quarantineCode, diskFull, role } = node.status();
        if (quarantineCode !== null) return errorReply(503, quarantineCode, `in quarantine: ${quarantine}`);
        const { leader } = node;
        if (leader === null) return errorReply(503, 'NO_LEADER', 'no leader is known', 'not_applied', RETRY);
        // A leader has all there is, and refuses writes at once; a follower waits for entries that it does not take.
        if (diskFull && role !== 'leader') return errorReply(503, 'DISK_FULL', 'the disk is nearly full');
        return lineReply(200, request.form('text'), 'ready', { ready: true, leader: leader.id });
      },
    },
    { method: 'GET', path: '/v1/status', handle: () => jsonReply(200, node.status()) },
  ];
}

const RETRY = { 'retry-after': '1' };

function help(host = '127.0.0.1:12380'): string {
  // The host is the caller's own; it goes back as text and only if it looks like one.
  const at = /^[\w.:[\]-]{1,255}$/.test(host) ? host : 'HOST:PORT';
  return `Cordwood: replicated, fault-tolerant stacks. Any node takes any of these:

  curl http://${at}/sCreate -d NAME        make a stack
  curl http://${at}/sId     -d NAME        is there one?
  curl http://${at}/sPush   -d NAME,VALUE  push; prints the new size
  curl http://${at}/sPop    -d NAME        take the top off
  curl http://${at}/sTop    -d NAME        look at the top
  curl http://${at}/sSize   -d NAME        how many are on it?

  -H 'Accept: application/json'            replies as JSON
  -H 'Accept: application/octet-stream'    exactly the value's bytes
  -H 'Idempotency-Key: ANYTHING'           a repeated request runs once
  -H 'X-Timeout-Ms: 2000'                  how long to try (default 5000)

  GET /v1/stacks   GET PUT DELETE /v1/stacks/NAME   POST /v1/stacks/NAME/push   POST /v1/stacks/NAME/pop
  GET /v1/stacks/NAME/top   GET /v1/status   GET /v1/members   GET /v1/explain   GET /healthz   GET /readyz
  GET /v1/admin/backup   GET /metrics   GET /v1/live (WebSocket)

The binary protocol is spoken on the same port: see PROTOCOL.md.
`;
}
