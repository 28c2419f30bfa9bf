import { fstatSync } from 'node:fs';
import { styleText } from 'node:util';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { oneLine } from './exit-codes.ts';
import { FileLog } from './file-log.ts';
import type { LogLevel } from './log-levels.ts';

export type LogFormat = 'human' | 'json';

export interface NodeLog {
  readonly logger: Logger;
  /** Writes out what is buffered, as far as that needs no waiting for whoever reads it. */
  readonly flush: () => void;
  /** Resolves when what was logged has left, or nobody takes it. */
  readonly drained: () => Promise<void>;
}

interface Destination {
  write(line: string): void;
  flush(): void;
  drained(): Promise<void>;
}

/** Lines that nobody reads are dropped beyond this: a log must never stop the node, nor fill its memory. */
const MAX_BUFFERED_BYTES = 1 << 20;

/** How long the end of the process waits for the reader of its log. */
const DRAIN_MS = 500;

/** A logger to stderr, one line for each entry. */
export function createLog(level: LogLevel, format: LogFormat): NodeLog {
  const status = fstatSync(2);
  const destination = status.isFIFO() || status.isSocket() ? pipeDestination() : fileDestination();
  const colour = process.stderr.isTTY && process.env['NO_COLOR'] === undefined;
  const stream =
    format === 'json'
      ? destination
      : { write: (line: string) => destination.write(humanLine(JSON.parse(line) as LogEntry, colour)) };
  // By default pino says an error's cause behind its message, which says it already.
  const serializers = { err: pino.stdSerializers.errWithCause };
  const logger = pino({ level, base: null, serializers }, stream);
  return { logger, flush: () => destination.flush(), drained: () => destination.drained() };
}

function fileDestination(): Destination {
  const log = new FileLog(2, MAX_BUFFERED_BYTES);
  return {
    write: (line) => log.write(line),
    flush: () => log.flush(),
    drained: () => log.drained(DRAIN_MS),
  };
}

/**
 * A pipe whose reader has stopped reading blocks whoever writes to it for ever: a thread of the pool, and with it the
 * end of the process, which waits for its threads. Node's own stderr does not block on pipes.
 */
function pipeDestination(): Destination {
  const { stderr } = process;
  stderr.on('error', () => {});
  return {
    write: (line) => {
      if (stderr.writableLength < MAX_BUFFERED_BYTES) stderr.write(line);
    },
    flush: () => {},
    drained: () =>
      new Promise((resolve) => {
        if (stderr.writableLength === 0) {
          resolve();
          return;
        }
        const timer = setTimeout(resolve, DRAIN_MS);
        stderr.write('', () => {
          clearTimeout(timer);
          resolve();
        });
      }),
  };
}

interface LogEntry {
  readonly level: number;
  readonly time: number;
  readonly msg?: string;
  readonly [field: string]: unknown;
}

const LEVELS: readonly (readonly [number, string, 'red' | 'yellow' | 'cyan' | 'gray'])[] = [
  [50, 'ERROR', 'red'],
  [40, 'WARN', 'yellow'],
  [30, 'INFO', 'cyan'],
  [0, 'DEBUG', 'gray'],
];

/** `12:03:04.123 INFO  became leader  term=5 node=1` */
export function humanLine(entry: LogEntry, colour: boolean): string {
  const { level, time, msg = '', ...fields } = entry;
  const [, name, hue] = LEVELS.find(([from]) => level >= from)!;
  const label = name.padEnd(5);
  const clock = new Date(time).toISOString().slice(11, 23);
  const details = Object.entries(fields).map(([key, value]) => `${key}=${fieldText(value)}`);
  const tail = details.length === 0 ? '' : `  ${details.join(' ')}`;
  return `${clock} ${colour ? styleText(hue, label) : label} ${oneLine(msg)}${colour ? styleText('gray', tail) : tail}\n`;
}

function fieldText(value: unknown): string {
  if (typeof value !== 'string') {
    const known = value as { message?: unknown; stack?: unknown } | null;
    if (typeof known === 'object' && typeof known?.message === 'string') return fieldText(known.message);
    return oneLine(JSON.stringify(value));
  }
  return /^[\w.:/@+[\]-]+$/.test(value) ? value : oneLine(JSON.stringify(value));
}
