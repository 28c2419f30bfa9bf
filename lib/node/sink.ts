import type { ByteWriter } from '../../protocol/byte-writer.ts';

/**
 * Where the answers to a stretch of requests go: a client connection, a peer that forwarded, an in-process client.
 * The node writes response frames into `out` and calls `flush` once at the end of a turn in which it wrote any.
 */
export interface Sink {
  readonly out: ByteWriter;
  flush(): void;
  /** More answers wait to leave than should: whoever can give an answer later as well does so. */
  readonly full?: boolean;
}
