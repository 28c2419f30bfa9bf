import { connect, type Socket } from 'node:net';
import { Histogram } from '../support/histogram.ts';
import type { PointSpec } from '../support/measure.ts';
import type { LoadFigures, Meter } from './contestant.ts';

/** How requests of a protocol look in which answers come in the order of the requests. */
export interface PipelineProtocol {
  /** The request of one call, with a value no other call has. */
  request(number: number): Buffer;
  /** Position behind the answer that begins at `at`; -1 if it is not whole. Throws if it is an error. */
  answerEnd(bytes: Buffer, at: number, end: number): number;
}

/** A closed loop over connections on which requests are pipelined: the cheapest client such a server can have. */
export async function runPipelineLoad(
  protocol: PipelineProtocol,
  port: number,
  { connections, outstanding, warmS, measureS }: PointSpec,
  meter: Meter,
): Promise<LoadFigures> {
  const state = { measuring: false, stopped: false, made: 0, operations: 0, error: null as Error | null };
  const latencies = new Histogram();
  const sockets: Socket[] = [];
  for (let i = 0; i < connections; i++) {
    const share = Math.floor((outstanding + connections - 1 - i) / connections);
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    socket.on('error', (error) => (state.error ??= error));
    sockets.push(socket);
    serve(socket, share);
  }
  await delay(warmS * 1000);
  meter.begin();
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  state.measuring = true;
  await delay(measureS * 1000);
  state.measuring = false;
  const elapsedMs = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(cpu);
  meter.end();
  state.stopped = true;
  for (const socket of sockets) socket.destroy();
  if (state.error !== null) throw state.error;
  return {
    operations: state.operations,
    elapsedMs,
    cpuMs: (user + system) / 1000,
    p50Ms: latencies.percentile(0.5),
    p99Ms: latencies.percentile(0.99),
    p999Ms: latencies.percentile(0.999),
    maxMs: latencies.maxMs,
  };

  function serve(socket: Socket, share: number): void {
    const madeMs = new Float64Array(share);
    let first = 0;
    let rest: Buffer | null = null;
    const send = (count: number): void => {
      const nowMs = performance.now();
      const requests: Buffer[] = [];
      for (let i = 0; i < count; i++) {
        madeMs[(first + i) % share] = nowMs;
        requests.push(protocol.request(state.made++));
      }
      socket.write(Buffer.concat(requests));
    };
    socket.on('data', (data) => {
      const chunk: Buffer = rest === null ? data : Buffer.concat([rest, data]);
      const nowMs = performance.now();
      let at = 0;
      let count = 0;
      try {
        for (let next = protocol.answerEnd(chunk, 0, chunk.length); next !== -1;) {
          if (state.measuring) latencies.record(nowMs - madeMs[(first + count) % share]!);
          count++;
          at = next;
          next = protocol.answerEnd(chunk, at, chunk.length);
        }
      } catch (error) {
        state.error ??= error as Error;
        socket.destroy();
        return;
      }
      rest = at < chunk.length ? chunk.subarray(at) : null;
      if (state.measuring) state.operations += count;
      // The answered ones were the oldest; the new ones take their places.
      if (count > 0 && !state.stopped) send(count);
      first = (first + count) % share;
    });
    send(share);
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
