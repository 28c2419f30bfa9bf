import { readFileSync } from 'node:fs';

/** Files that are left to the node: its log, its peers, its threads, and what else lives in the process. */
const KEPT_FOR_NODE = 256;

/**
 * The client connections a process has room for that may have `openFiles` files and sockets open. A node whose clients
 * held them all could not open the next file of its log.
 */
export function connectionsWithin(openFiles: number): number {
  return openFiles - Math.min(KEPT_FOR_NODE, Math.floor(openFiles / 2));
}

/** How many files and sockets this process may have open; Infinity where the system does not say so in a file. */
export function maxOpenFiles(): number {
  let limits: string;
  try {
    limits = readFileSync('/proc/self/limits', 'latin1');
  } catch {
    return Infinity;
  }
  const soft = Number(/^Max open files +(\d+)/m.exec(limits)?.[1]);
  return soft > 0 ? soft : Infinity;
}
