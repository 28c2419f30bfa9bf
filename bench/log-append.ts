/**
 * What the hop to the log thread costs: an append with one outstanding, from the call to `onDurable`, beside a bare
 * write + fdatasync of the same bytes on this thread; then many outstanding.
 *
 *   node dist/bench/log-append.js [directory] [--json]
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DataDirectory, openLogStore } from '../lib/log/index.ts';
import type { LogStore, LogWrite } from '../lib/log/index.ts';
import { encodeRecord } from '../lib/log/record.ts';

const json = process.argv.includes('--json');
const parent = process.argv.slice(2).find((argument) => !argument.startsWith('--')) ?? os.tmpdir();
const ROUNDS = 5;
const SECONDS_MS = 400;

interface Row {
  readonly what: string;
  readonly bodyBytes: number;
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

function row(what: string, bodyBytes: number, timesMs: number[], elapsedMs: number): Row {
  const sorted = timesMs.sort((a, b) => a - b);
  return {
    what,
    bodyBytes,
    perSecond: Math.round((timesMs.length / elapsedMs) * 1000),
    p50Us: Math.round(percentile(sorted, 0.5) * 1000),
    p99Us: Math.round(percentile(sorted, 0.99) * 1000),
  };
}

/** The floor: the same bytes, written over zeros and synced, with no hop at all. */
function bare(directory: string, bodyBytes: number): Row {
  const file = `${directory}/bare`;
  const fd = fs.openSync(file, 'w+');
  const record = encodeRecord(1, 1, 1, 0, new Uint8Array(bodyBytes));
  const header = new Uint8Array(32);
  fs.writeSync(fd, new Uint8Array(64 << 20), 0, 64 << 20, 0);
  fs.fsyncSync(fd);
  const times: number[] = [];
  const start = performance.now();
  let now = start;
  for (let at = 0; now - start < SECONDS_MS && at + 32 + record.length < 64 << 20; at += 32 + record.length) {
    fs.writevSync(fd, [header, record], at);
    fs.fdatasyncSync(fd);
    const end = performance.now();
    times.push(end - now);
    now = end;
  }
  fs.closeSync(fd);
  fs.rmSync(file);
  return row('bare write + fdatasync', bodyBytes, times, now - start);
}

async function appends(directory: string, bodyBytes: number, outstanding: number): Promise<Row> {
  const data = await DataDirectory.open({ path: `${directory}/log`, clusterId: 'b', nodeId: 1, members: [] });
  let onDurable: (ticket: number) => void = () => {};
  const log: LogStore = await openLogStore({
    directory: data,
    events: {
      onDurable: (ticket) => {
        onDurable(ticket);
      },
      onFailure: (error) => {
        throw error;
      },
    },
  });
  const memory = new SharedArrayBuffer(8 << 20);
  const times: number[] = [];
  const sentAt: number[] = [];
  let next = 0;
  let used = 0;
  let answered = 0;
  const send = (): void => {
    const record = encodeRecord(1, 1, ++next, 0, new Uint8Array(bodyBytes));
    if (used + record.length > memory.byteLength) used = 0;
    const bytes = new Uint8Array(memory, used, record.length);
    bytes.set(record);
    used += record.length;
    const hardState = next === 1 ? { term: 1, vote: 1 } : null;
    const write: LogWrite = {
      ticket: next,
      hardState,
      resetTo: null,
      first: next,
      last: next,
      records: [bytes],
    };
    sentAt[next] = performance.now();
    log.append(write);
  };
  const start = performance.now();
  const end = await new Promise<number>((resolve) => {
    onDurable = (ticket) => {
      const now = performance.now();
      for (; answered < ticket; answered++) times.push(now - sentAt[answered + 1]!);
      const over = now - start > SECONDS_MS;
      while (!over && next - answered < outstanding) send();
      if (over && next === answered) resolve(now);
    };
    for (let i = 0; i < outstanding; i++) send();
  });
  await log.close();
  await data.close();
  fs.rmSync(`${directory}/log`, { recursive: true });
  return row(`log thread, ${outstanding} outstanding`, bodyBytes, times, end - start);
}

const directory = fs.mkdtempSync(path.join(parent, 'cordwood-log-'));
const rows = new Map<string, Row[]>();
try {
  for (let round = 0; round < ROUNDS; round++) {
    for (const bodyBytes of [128, 65_536]) {
      const measured = [
        bare(directory, bodyBytes),
        await appends(directory, bodyBytes, 1),
        await appends(directory, bodyBytes, 16),
        ...(bodyBytes < 1000 ? [await appends(directory, bodyBytes, 256)] : []),
      ];
      for (const one of measured) {
        const key = `${one.what} ${one.bodyBytes}`;
        rows.set(key, [...(rows.get(key) ?? []), one]);
      }
    }
  }
} finally {
  fs.rmSync(directory, { recursive: true, force: true });
}
/** The round with the median p50 stands for all. */
const medians = [...rows.values()].map((list) => list.sort((a, b) => a.p50Us - b.p50Us)[list.length >> 1]!);
if (json) {
  process.stdout.write(`${JSON.stringify(medians)}\n`);
} else {
  for (const { what, bodyBytes, perSecond, p50Us, p99Us } of medians) {
    process.stdout.write(
      `${what.padEnd(30)} ${String(bodyBytes).padStart(6)} B  ${String(perSecond).padStart(8)}/s` +
        `  p50 ${String(p50Us).padStart(5)} us  p99 ${String(p99Us).padStart(6)} us\n`,
    );
  }
}
