import { CordwoodError } from '../../protocol/errors.ts';
import type { SnapshotMeta } from '../core/types.ts';
import type { SnapshotReader, SnapshotStore, SnapshotWriter, StoredSnapshot } from './log-store.ts';
import type { SnapshotFiles } from './snapshot-files.ts';

/** One operation on the snapshots of a directory, as it travels to wherever their files are handled. */
export type SnapshotCall =
  | { readonly kind: 'create'; readonly meta: SnapshotMeta }
  | { readonly kind: 'write'; readonly handle: number; readonly content: Uint8Array }
  | { readonly kind: 'commit'; readonly handle: number; readonly expectedDigest: string | undefined }
  | { readonly kind: 'abort'; readonly handle: number }
  | { readonly kind: 'open'; readonly meta: SnapshotMeta }
  | { readonly kind: 'read'; readonly handle: number; readonly offset: number; readonly maxBytes: number }
  | { readonly kind: 'release'; readonly handle: number };

/** Whatever the call yields: a handle, a stored snapshot, bytes. */
export interface SnapshotReply {
  readonly handle?: number;
  readonly snapshot?: StoredSnapshot;
  /** Size of the newest snapshot's file, after a commit. */
  readonly fileBytes?: number;
  readonly content?: Uint8Array;
}

export function performSnapshotCall(files: SnapshotFiles, call: SnapshotCall): SnapshotReply {
  switch (call.kind) {
    case 'create':
      return { handle: files.create(call.meta) };
    case 'write':
      files.write(call.handle, call.content);
      return {};
    case 'commit': {
      const snapshot = files.commit(call.handle, call.expectedDigest);
      return { snapshot, fileBytes: files.bytes };
    }
    case 'abort':
      files.abort(call.handle);
      return {};
    case 'open':
      return files.open(call.meta);
    case 'read':
      return { content: files.read(call.handle, call.offset, call.maxBytes) };
    case 'release':
      files.release(call.handle);
      return {};
  }
}

/** A `SnapshotStore` whose files are handled elsewhere: by another thread, or later in virtual time. */
export class RemoteSnapshots implements SnapshotStore {
  readonly #call: (call: SnapshotCall) => Promise<SnapshotReply>;
  #latest: StoredSnapshot | null;
  #bytes: number;

  constructor(
    latest: StoredSnapshot | null,
    bytes: number,
    call: (call: SnapshotCall) => Promise<SnapshotReply>,
    damaged: (reason: string) => void,
  ) {
    this.#latest = latest;
    this.#bytes = bytes;
    this.#call = async (request) => {
      try {
        return await call(request);
      } catch (error) {
        const reads = request.kind === 'open' || request.kind === 'read';
        if (reads && CordwoodError.is(error) && error.code === 'SNAPSHOT_DAMAGED') damaged(error.message);
        throw error;
      }
    };
  }

  get latest(): StoredSnapshot | null {
    return this.#latest;
  }

  /** Size of the newest snapshot's file. */
  get bytes(): number {
    return this.#bytes;
  }

  async create(meta: SnapshotMeta): Promise<SnapshotWriter> {
    const { handle = 0 } = await this.#call({ kind: 'create', meta });
    const call = this.#call;
    return {
      write: async (content) => {
        await call({ kind: 'write', handle, content });
      },
      commit: (expectedDigest) => this.#commit(handle, expectedDigest),
      abort: async () => {
        await call({ kind: 'abort', handle });
      },
    };
  }

  async open(snapshot: StoredSnapshot): Promise<SnapshotReader> {
    const reply = await this.#call({ kind: 'open', meta: snapshot.meta });
    const { handle = 0 } = reply;
    const call = this.#call;
    return {
      snapshot: reply.snapshot ?? snapshot,
      read: async (offset, maxBytes) => {
        const { content } = await call({ kind: 'read', handle, offset, maxBytes });
        return content ?? new Uint8Array(0);
      },
      close: async () => {
        await call({ kind: 'release', handle });
      },
    };
  }

  async #commit(handle: number, expectedDigest: string | undefined): Promise<StoredSnapshot> {
    const { snapshot, fileBytes } = await this.#call({ kind: 'commit', handle, expectedDigest });
    if (snapshot === undefined) throw new TypeError('a commit without a snapshot');
    if (this.#latest === null || this.#latest.meta.index <= snapshot.meta.index) {
      this.#latest = snapshot;
      this.#bytes = fileBytes ?? snapshot.sizeBytes;
    }
    return snapshot;
  }
}
