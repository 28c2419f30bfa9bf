import { createServer } from 'node:net';

/**
 * Below what Linux and macOS hand out for outgoing connections: while a node is down nothing else must get its port.
 * In blocks, which a process claims by listening on the first port of each until it ends: test files that run at the
 * same time, or a second run of all tests on this machine, never take each other's ports.
 */
const FIRST_PORT = 13_000;
const BLOCK_PORTS = 64;
const BLOCKS = 296;
/** Ports of `cordwood local up`, whose nodes may be down for a moment. */
const STANDARD_PORTS = new Set([12_379, 12_380, 22_379, 22_380, 32_379, 32_380]);

let nextBlock = (process.pid * 61) % BLOCKS;
let unclaimed = BLOCKS;
/** Ports that are claimed and not handed out. */
let ready: number[] = [];

/** Ports of 127.0.0.1 that nobody listens on, and that no other call, in any process of the tests, has returned. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    if (ready.length === 0) ready = await claimBlock();
    const port = ready.shift()!;
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

/** As `freePorts`: the first of so many ports, at most 63, that follow each other. */
export async function freePortRange(count: number): Promise<number> {
  for (;;) {
    const block = await claimBlock();
    const range = block.slice(0, count);
    const free = await Promise.all(range.map(isFree));
    if (range.at(-1) === range[0]! + count - 1 && free.every(Boolean)) return range[0]!;
  }
}

async function claimBlock(): Promise<number[]> {
  while (unclaimed-- > 0) {
    const first = FIRST_PORT + nextBlock * BLOCK_PORTS;
    nextBlock = (nextBlock + 1) % BLOCKS;
    if (!(await listens(first, true))) continue;
    const ports = Array.from({ length: BLOCK_PORTS - 1 }, (_, i) => first + 1 + i);
    return ports.filter((port) => !STANDARD_PORTS.has(port));
  }
  throw new Error('no free ports');
}

function isFree(port: number): Promise<boolean> {
  return listens(port, false);
}

/** Whether this process could listen on the port; if so it goes on until the process ends, or stops at once. */
function listens(port: number, on: boolean): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.unref();
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      if (on) resolve(true);
      else server.close(() => resolve(true));
    });
  });
}
