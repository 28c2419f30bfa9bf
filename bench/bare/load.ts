import { connect, type Socket } from 'node:net';
import { copyBytes, readU32, writeU32 } from '../../protocol/byte-writer.ts';
import { Histogram } from '../support/histogram.ts';
import { ANSWER_BYTES, REQUEST_HEADER_BYTES } from './format.ts';

export interface BareJob {
  readonly port: number;
  readonly outstanding: number;
  readonly connections: number;
  readonly valueBytes: number;
  readonly warmMs: number;
  readonly measureMs: number;
}

export interface BareResult {
  readonly operations: number;
  readonly elapsedMs: number;
  readonly latencies: Float64Array;
  readonly maxMs: number;
  readonly cpuMs: number;
  readonly peakRssBytes: number;
}

/** The cheapest closed loop there is: no promises, no calls, one write for all that came back in one read. */
export async function runBareLoad(job: BareJob, begin: () => void, end: () => void): Promise<BareResult> {
  const latencies = new Histogram();
  const state = { measuring: false, stopped: false, operations: 0 };
  const sockets: Socket[] = [];
  for (let i = 0; i < job.connections; i++) {
    const share = Math.floor((job.outstanding + job.connections - 1 - i) / job.connections);
    sockets.push(await open(job, share, state, latencies));
  }
  await delay(job.warmMs);
  begin();
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  state.measuring = true;
  await delay(job.measureMs);
  state.measuring = false;
  const elapsedMs = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(cpu);
  end();
  state.stopped = true;
  for (const socket of sockets) socket.destroy();
  return {
    operations: state.operations,
    elapsedMs,
    latencies: latencies.counts,
    maxMs: latencies.maxMs,
    cpuMs: (user + system) / 1000,
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
  };
}

async function open(
  { port, valueBytes }: BareJob,
  outstanding: number,
  state: { measuring: boolean; stopped: boolean; operations: number },
  latencies: Histogram,
): Promise<Socket> {
  const requestBytes = REQUEST_HEADER_BYTES + valueBytes;
  const value = Buffer.alloc(valueBytes, 0xc0);
  const madeMs = new Float64Array(outstanding);
  const ids = new Uint32Array(outstanding);
  let pushed = 0;
  let rest: Buffer | null = null;
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  const send = (count: number): void => {
    const nowMs = performance.now();
    const out = Buffer.allocUnsafe(count * requestBytes);
    for (let i = 0, at = 0; i < count; i++, at += requestBytes) {
      const id = ids[i]!;
      madeMs[id] = nowMs;
      writeU32(value, 0, pushed++);
      writeU32(out, at, requestBytes - 4);
      writeU32(out, at + 4, id);
      copyBytes(value, 0, valueBytes, out, at + REQUEST_HEADER_BYTES);
    }
    socket.write(out);
  };
  socket.on('error', () => socket.destroy());
  socket.on('data', (data) => {
    const chunk: Buffer = rest === null ? data : Buffer.concat([rest, data]);
    const nowMs = performance.now();
    let count = 0;
    let at = 0;
    for (; at + ANSWER_BYTES <= chunk.length; at += ANSWER_BYTES) {
      const id = readU32(chunk, at);
      if (state.measuring) latencies.record(nowMs - madeMs[id]!);
      ids[count++] = id;
    }
    rest = at < chunk.length ? chunk.subarray(at) : null;
    if (state.measuring) state.operations += count;
    if (count > 0 && !state.stopped) send(count);
  });
  for (let id = 0; id < outstanding; id++) ids[id] = id;
  send(outstanding);
  return socket;
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
