import { connect, createServer, type Socket } from 'node:net';
import { copyBytes, readU32, writeU32 } from '../../protocol/byte-writer.ts';
import { ACK_BYTES, ANSWER_BYTES, BATCH_HEADER_BYTES, writeBatchHeader } from './format.ts';
import { listening, type Role } from './role.ts';
import { RingFile } from './ring-file.ts';
import { ValueStore } from './value-store.ts';

const BATCH_BYTES = 1 << 20;

/** Requests of one client, one behind the other in a batch. */
interface Run {
  readonly client: Socket;
  end: number;
}

class Batch {
  bytes = Buffer.allocUnsafeSlow(BATCH_BYTES);
  end = BATCH_HEADER_BYTES;
  requests = 0;
  runs: Run[] = [];
}

/** Gathers, replicates, answers. One batch is in flight; the next one grows meanwhile. */
export async function runLeader(path: string, followerPorts: readonly number[]): Promise<Role> {
  const leader = new Leader(path);
  await Promise.all(followerPorts.map((port, i) => leader.follow(port, i)));
  const server = createServer({ noDelay: true }, (socket) => leader.serve(socket));
  return { port: await listening(server), close: () => server.close() };
}

class Leader {
  readonly #file: RingFile;
  readonly #store = new ValueStore();
  readonly #followers: Socket[] = [];
  /** Last batch durable here and on each follower. */
  readonly #durable = [0, 0, 0];
  #number = 0;
  #open = new Batch();
  #inFlight: Batch | null = null;
  #spare: Batch | null = new Batch();

  constructor(path: string) {
    this.#file = new RingFile(path);
  }

  async follow(port: number, i: number): Promise<void> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#followers.push(socket);
    let rest: Buffer | null = null;
    socket.on('data', (data) => {
      const chunk: Buffer = rest === null ? data : Buffer.concat([rest, data]);
      let at = 0;
      for (; at + ACK_BYTES <= chunk.length; at += ACK_BYTES) this.#durable[i + 1] = readU32(chunk, at);
      rest = at < chunk.length ? chunk.subarray(at) : null;
      this.#advance();
    });
    socket.on('error', () => socket.destroy());
    await new Promise((resolve) => socket.once('connect', resolve));
  }

  serve(client: Socket): void {
    let rest: Buffer | null = null;
    client.on('error', () => client.destroy());
    client.on('data', (data) => {
      const chunk: Buffer = rest === null ? data : Buffer.concat([rest, data]);
      let at = 0;
      let requests = 0;
      while (at + 4 <= chunk.length) {
        const next = at + readU32(chunk, at) + 4;
        if (next > chunk.length) break;
        at = next;
        requests++;
      }
      rest = at < chunk.length ? chunk.subarray(at) : null;
      if (requests === 0) return;
      this.#gather(chunk, at, requests, client);
      if (this.#inFlight === null) this.#send();
    });
  }

  #gather(bytes: Buffer, length: number, requests: number, client: Socket): void {
    const batch = this.#open;
    if (batch.end + length > batch.bytes.length) {
      const grown = Buffer.allocUnsafeSlow(2 * (batch.end + length));
      batch.bytes.copy(grown, 0, 0, batch.end);
      batch.bytes = grown;
    }
    copyBytes(bytes, 0, length, batch.bytes, batch.end);
    batch.end += length;
    batch.requests += requests;
    const last = batch.runs[batch.runs.length - 1];
    if (last?.client === client) last.end = batch.end;
    else batch.runs.push({ client, end: batch.end });
  }

  #send(): void {
    const batch = this.#open;
    const number = ++this.#number;
    this.#inFlight = batch;
    this.#open = this.#spare ?? new Batch();
    this.#spare = null;
    writeBatchHeader(batch.bytes, batch.end, number, batch.requests);
    const bytes = batch.bytes.subarray(0, batch.end);
    for (const follower of this.#followers) follower.write(bytes);
    this.#file.append(bytes, () => {
      this.#durable[0] = number;
      this.#advance();
    });
  }

  #advance(): void {
    const batch = this.#inFlight;
    if (batch === null) return;
    const [a, b, c] = this.#durable as [number, number, number];
    const onTwo = Math.max(Math.min(a, b), Math.min(a, c), Math.min(b, c));
    if (onTwo < this.#number) return;
    this.#inFlight = null;
    if (this.#open.requests > 0) this.#send();
    this.#answer(batch);
  }

  #answer(batch: Batch): void {
    const { bytes, runs } = batch;
    const number = this.#number;
    let at = BATCH_HEADER_BYTES;
    for (const { client, end } of runs) {
      const requests = this.#store.push(bytes, at, end);
      const answers = Buffer.allocUnsafe(requests * ANSWER_BYTES);
      for (let to = 0; to < answers.length; to += ANSWER_BYTES) {
        writeU32(answers, to, readU32(bytes, at + 4));
        writeU32(answers, to + 4, number);
        at += readU32(bytes, at) + 4;
      }
      if (client.writable) client.write(answers);
    }
    // A follower that is behind may still be sent this batch: its memory is then not for reuse.
    if (this.#followers.some((follower) => follower.writableLength > 0)) return;
    batch.end = BATCH_HEADER_BYTES;
    batch.requests = 0;
    batch.runs = [];
    this.#spare = batch;
  }
}
