import { ByteWriter } from '../../protocol/byte-writer.ts';

const CHUNK_BYTES = 128 << 10;
/** The first one. Of the lanes of a client most carry a call now and then, or none. */
const FIRST_CHUNK_BYTES = 4 << 10;
/** Room that must be left for a chunk to take another frame; a frame that needs more makes the chunk grow. */
const MIN_ROOM_BYTES = 1024;
const SPARE_CHUNKS = 8;

/** Frames of many calls, one behind the other. */
export class Chunk {
  readonly writer: ByteWriter;
  /** Calls whose frame lies here and may still be sent. */
  frames = 0;

  constructor(bytes: number = CHUNK_BYTES) {
    this.writer = new ByteWriter(bytes);
  }
}

/**
 * Where the frames of unanswered calls lie: a frame is laid out once, when the call is made, leaves from there,
 * and leaves from there again if it has to be sent a second time.
 *
 * Frames of calls made one after the other lie one after the other, so that a burst of them is one write.
 */
export class FrameStore {
  #chunk: Chunk = new Chunk(FIRST_CHUNK_BYTES);
  readonly #spare: Chunk[] = [];

  /** The chunk the next frame goes to. The caller appends exactly one frame to its writer, or restores `position`. */
  chunkFor(bytes: number): Chunk {
    const { writer } = this.#chunk;
    const room = writer.buffer.length - writer.position;
    if (writer.position > 0 && room < Math.max(bytes, MIN_ROOM_BYTES))
      this.#chunk = this.#spare.pop() ?? new Chunk();
    return this.#chunk;
  }

  /**
   * No frame of the chunk is needed any more and none of its bytes waits in a socket: it may be written over. (A
   * chunk some of whose bytes still wait is not given back; the garbage collector gets it.)
   */
  recycle(chunk: Chunk): void {
    if (chunk.writer.buffer.length > CHUNK_BYTES) {
      if (chunk === this.#chunk) this.shed();
    } else if (chunk === this.#chunk) chunk.writer.clear();
    else if (chunk.writer.buffer.length === CHUNK_BYTES && this.#spare.length < SPARE_CHUNKS) {
      chunk.writer.clear();
      this.#spare.push(chunk);
    }
  }

  /** Goes on with another chunk if a large frame has made this one grow: calls on it keep it as long as they need it. */
  shed(): void {
    if (this.#chunk.writer.buffer.length > CHUNK_BYTES) this.#chunk = this.#spare.pop() ?? new Chunk();
  }
}
