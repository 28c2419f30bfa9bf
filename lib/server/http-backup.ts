import type { Requests } from '../node/types.ts';
import { BYTES, errorReply } from './http-reply.ts';
import type { Route } from './http-routes.ts';

/**
 * `GET /v1/admin/backup`: the whole state as a backup file (docs/storage.md), streamed. Everything acknowledged before
 * the request is in it. The file ends with its own length and digest: whoever takes it can tell a part from the whole.
 *
 * 429 while this node makes one for somebody else; 503 while no leader confirms the point, within the request's time.
 */
export function backupRoute(node: Requests): Route {
  return {
    method: 'GET',
    path: '/v1/admin/backup',
    handle: async ({ incoming, call }) => {
      if (node.backup === undefined) return errorReply(400, 'UNSUPPORTED', 'this node makes no backups');
      const gone = new AbortController();
      const leave = (): void => gone.abort();
      incoming.socket.once('close', leave);
      try {
        const backup = await node.backup({ timeoutMs: call.timeoutMs, signal: gone.signal });
        const name = `cordwood-${backup.origin.clusterId.slice(0, 8)}-${backup.index}.backup`;
        const headers = {
          'content-disposition': `attachment; filename="${name}"`,
          'x-cordwood-index': String(backup.index),
        };
        return { status: 200, type: BYTES, stream: backup, headers };
      } finally {
        incoming.socket.off('close', leave);
      }
    },
  };
}
