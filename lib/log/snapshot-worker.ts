import { NodeDisk } from './node-disk.ts';
import { performSnapshotCall } from './snapshot-calls.ts';
import { SnapshotFiles, removeUnfinished } from './snapshot-files.ts';
import { toPlainError } from './thread-messages.ts';
import type { FromSnapshotThread, SnapshotThreadTask, ToSnapshotThread } from './thread-messages.ts';

/** The snapshot thread: snapshots are large, and an append must never wait behind one. */
export default function serveSnapshots(task: SnapshotThreadTask): Promise<void> {
  const { port } = task;
  const disk = new NodeDisk();
  disk.patient = true;
  if (task.firstHandle > 1) removeUnfinished(disk, task.path);
  const files = new SnapshotFiles(disk, task.path, task.owner, null, task.firstHandle);
  return new Promise((resolve) => {
    const finish = (): void => {
      port.removeAllListeners();
      files.close();
      port.close();
      resolve();
    };
    port.on('close', finish);
    port.on('message', (message: ToSnapshotThread) => {
      if (message.kind === 'close') {
        finish();
        return;
      }
      if (message.kind === 'latest') {
        files.adopt(message.latest);
        return;
      }
      const { id, call } = message;
      try {
        const reply = performSnapshotCall(files, call);
        const content = reply.content?.buffer as ArrayBuffer | undefined;
        const transfer = content === undefined ? [] : [content];
        port.postMessage({ kind: 'reply', id, reply } satisfies FromSnapshotThread, transfer);
      } catch (error) {
        port.postMessage({ kind: 'error', id, error: toPlainError(error) } satisfies FromSnapshotThread);
      }
    });
  });
}
