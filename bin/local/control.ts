import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CordwoodError } from '../../protocol/errors.ts';
import type { ControlReply, ControlRequest } from './messages.ts';

/** `sun_path` holds 108 bytes on Linux and 104 on macOS, the final zero included. */
const MAX_SOCKET_PATH = 103;
const MAX_LINE_BYTES = 1 << 20;
/** While a command is carried out, which may take long, an empty line now and then says that somebody is there. */
const ALIVE_MS = 1_000;
/** A supervisor that says nothing for so long is suspended: the kernel takes connections in its place. */
const SILENCE_MS = 10_000;

/** What a data directory remembers of the local cluster in it. */
export interface ControlFile {
  readonly version: 1;
  /** A directory belongs to one cluster: its size and ports do not change. */
  readonly nodes: number;
  readonly basePort: number | null;
  /** Process that runs it, or ran it last. */
  readonly pid: number;
}

export function readControlFile(dataDir: string): ControlFile | null {
  const file = path.join(dataDir, 'cluster.json');
  if (!existsSync(file)) return null;
  try {
    const value = JSON.parse(readFileSync(file, 'utf8')) as ControlFile;
    return Number.isInteger(value.nodes) ? value : null;
  } catch {
    return null;
  }
}

export function writeControlFile(dataDir: string, content: ControlFile): void {
  const file = path.join(dataDir, 'cluster.json');
  // Renamed into place: whoever reads it finds the old one or the new one, never half of one.
  writeFileSync(`${file}.new`, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** Where the supervisor of the cluster in `dataDir` (an absolute path) listens. */
export function controlSocketPath(dataDir: string): string {
  const real = existsSync(dataDir) ? realpathSync(dataDir) : dataDir;
  const near = path.join(real, 'control.sock');
  if (Buffer.byteLength(near) <= MAX_SOCKET_PATH) return near;
  const name = createHash('sha256').update(real).digest('hex').slice(0, 16);
  return path.join(tmpdir(), `cordwood-${process.getuid?.() ?? 0}-${name}.sock`);
}

/**
 * Listens for commands. Resolves to null if another supervisor does so already; a socket that a killed one left
 * behind is taken over.
 */
export async function serveControl(
  socketPath: string,
  handle: (request: ControlRequest) => Promise<ControlReply>,
): Promise<Server | null> {
  for (let attempt = 0; attempt < 2; attempt++) {
    const server = createServer({ allowHalfOpen: true }, (socket) => serveOne(socket, handle));
    const listening = await new Promise<boolean>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'EADDRINUSE') resolve(false);
        else reject(error);
      });
      server.listen(socketPath, () => resolve(true));
    });
    if (listening) return server;
    if (await answers(socketPath)) return null;
    rmSync(socketPath, { force: true });
  }
  return null;
}

/** Sends one command. Resolves to null if no supervisor is there. */
export function sendControl(
  socketPath: string,
  request: ControlRequest,
  silenceMs: number = SILENCE_MS,
): Promise<ControlReply | null> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    socket.setTimeout(silenceMs, () => {
      socket.destroy();
      const text =
        'the process that runs the local cluster does not answer. Is it suspended (Ctrl-Z)? Then continue it';
      const outcome = request.command === 'status' ? 'not_applied' : 'unknown';
      reject(new CordwoodError('TIMEOUT', text, { outcome }));
    });
    let text = '';
    socket.setEncoding('utf8');
    socket.on('connect', () => socket.end(`${JSON.stringify(request)}\n`));
    socket.on('data', (chunk: string) => (text += chunk));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(null);
      else reject(error);
    });
    socket.on('close', () => {
      if (text.trim() !== '' && text.endsWith('\n')) resolve(JSON.parse(text) as ControlReply);
      else reject(new Error('the local cluster went away before it answered'));
    });
  });
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

function serveOne(socket: Socket, handle: (request: ControlRequest) => Promise<ControlReply>): void {
  let text = '';
  let taken = false;
  socket.setEncoding('utf8');
  socket.on('error', () => {});
  socket.on('end', () => {
    if (!taken) socket.end();
  });
  socket.on('data', (chunk: string) => {
    text += chunk;
    if (text.length > MAX_LINE_BYTES) socket.destroy();
    const newline = text.indexOf('\n');
    if (taken || newline === -1) return;
    taken = true;
    const alive = setInterval(() => socket.write('\n'), ALIVE_MS);
    void answer(text.slice(0, newline), handle).then((reply) => {
      clearInterval(alive);
      socket.end(`${JSON.stringify(reply)}\n`);
    });
  });
}

async function answer(
  line: string,
  handle: (request: ControlRequest) => Promise<ControlReply>,
): Promise<ControlReply> {
  try {
    return await handle(JSON.parse(line) as ControlRequest);
  } catch (error) {
    return { ok: false, message: (error as Error).message };
  }
}
