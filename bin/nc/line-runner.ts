import type { Writable } from 'node:stream';
import { encodeValue } from '../../protocol/msgpack.ts';
import type { CallOptions, StackCalls, Taken } from '../../lib/server/stack-calls.ts';
import { jsonOf, scalarOf } from '../../lib/server/value-text.ts';
import { ExitCode, oneLine, verdictOf } from '../support/exit-codes.ts';
import { listStacks } from '../support/list-stacks.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import type { LineCommand } from './line-command.ts';
import { parseLine } from './line-command.ts';

export interface LineRunnerOptions {
  readonly stacks: StackCalls;
  readonly output: Writable;
  readonly call: CallOptions;
  readonly json: boolean;
  /** Lines under way at most. */
  readonly window: number;
  /** One line about the node that answers. */
  status(): Promise<string>;
  /** There is room for more lines again. */
  onRoom(): void;
  /** Every line so far has its reply. */
  onReply(): void;
}

/** Of lines under way: a value may be a few MiB, and thousands of lines may be. One is, whatever its length. */
const MAX_UNDER_WAY_BYTES = 16 << 20;
/** Output that has been gathered is written from here on, even in the middle of a turn. */
const WRITE_BYTES = 64 << 10;

interface Slot {
  readonly lineBytes: number;
  reply: string | null;
}

const WRITES: ReadonlySet<string> = new Set(['push', 'pop', 'create', 'drop']);

const HELP =
  'push NAME VALUE | pop NAME | top NAME | size NAME | create NAME | exists NAME | drop NAME | list [PREFIX] | status | help | quit';

/**
 * Carries out lines, many at a time, and writes their replies in the order of the lines.
 *
 * Lines also take effect in their order. Writes of one client do so anyway, and so they are pipelined; but a read
 * may be answered by the state before a write that is still on its way, or after one that came later. So reads and
 * writes are never under way together: where the kind changes, the lines before are waited for.
 */
export class LineRunner {
  readonly #options: LineRunnerOptions;
  /** Replies that are due, in order; the settled ones at the front are written. */
  readonly #slots: Slot[] = [];
  #first = 0;
  /** Of the lines that have no reply yet. */
  #lineBytes = 0;
  /** Lines that wait for the other kind to finish. */
  #waiting: Buffer[] = [];
  #running = 0;
  #runningWrites = false;
  #gathered: string[] = [];
  #gatheredBytes = 0;
  #scheduled = false;
  #blocked = false;
  #wasFull = false;
  #quit = false;
  #onIdle: (() => void) | null = null;
  /** The worst that happened, as an exit status. */
  exitCode: number = ExitCode.ok;

  constructor(options: LineRunnerOptions) {
    this.#options = options;
    options.output.on('drain', () => {
      this.#blocked = false;
      this.#write();
      this.#room();
      // These may have been the last replies: nothing else looks after them.
      this.#checkIdle();
    });
  }

  /** No more lines should come: too many are under way, or the output is not taken. */
  get full(): boolean {
    const full =
      this.#blocked ||
      this.#waiting.length > 0 ||
      this.#slots.length - this.#first >= this.#options.window ||
      this.#lineBytes >= MAX_UNDER_WAY_BYTES;
    if (full) this.#wasFull = true;
    return full;
  }

  /** The line `quit` has come: lines behind it are not carried out. */
  get quit(): boolean {
    return this.#quit;
  }

  take(line: Buffer): void {
    if (this.#waiting.length > 0) this.#waiting.push(line);
    else if (!this.#start(line)) this.#waiting.push(Buffer.from(line));
  }

  /** Resolves when every line has its reply and the reply has been handed to the output. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#onIdle = resolve;
      this.#checkIdle();
    });
  }

  /** False: the line must wait for others to finish. */
  #start(line: Buffer): boolean {
    if (this.#quit) return true;
    const command = parseLine(line);
    if (command === null) return true;
    if (typeof command === 'string') {
      this.#settle(this.#slot(line), this.#failure(new CordwoodError('MALFORMED', command)));
      return true;
    }
    if (command.op === 'quit') {
      this.#quit = true;
      return true;
    }
    const writes = WRITES.has(command.op);
    if (this.#running > 0 && this.#runningWrites !== writes) return false;
    this.#runningWrites = writes;
    this.#running++;
    const slot = this.#slot(line);
    this.#run(command).then(
      (reply) => this.#finish(slot, reply),
      (error: unknown) => this.#finish(slot, this.#failure(error)),
    );
    return true;
  }

  #slot(line: Buffer): Slot {
    const slot: Slot = { lineBytes: line.length, reply: null };
    this.#lineBytes += slot.lineBytes;
    this.#slots.push(slot);
    return slot;
  }

  async #run(command: LineCommand): Promise<string> {
    const { stacks, call, json } = this.#options;
    switch (command.op) {
      case 'push': {
        const size = await stacks.push(command.name, encodeValue(command.value), call);
        return json ? `{"size":${size}}` : String(size);
      }
      case 'pop':
        return this.#value(command.name, await stacks.pop(command.name, call));
      case 'top':
        return this.#value(command.name, await stacks.top(command.name, call));
      case 'size': {
        const size = (await stacks.size(command.name, call)) ?? missing(command.name);
        return json ? `{"size":${size}}` : String(size);
      }
      case 'create': {
        const created = await stacks.create(command.name, call);
        return json ? JSON.stringify({ name: command.name, created }) : created ? 'created' : 'exists';
      }
      case 'exists': {
        const exists = await stacks.exists(command.name, call);
        return json ? JSON.stringify({ exists }) : exists ? 'yes' : 'no';
      }
      case 'drop': {
        const dropped = (await stacks.drop(command.name, call)) || missing(command.name);
        return json ? JSON.stringify({ name: command.name, dropped }) : 'dropped';
      }
      case 'list': {
        const found = await listStacks(stacks, command.prefix, '', Infinity, call);
        return JSON.stringify(found.map(({ name, size }) => [name, size]));
      }
      case 'status':
        return this.#options.status();
      case 'help':
      case 'quit':
        return json ? JSON.stringify({ help: HELP }) : HELP;
    }
  }

  #value(name: string, taken: Taken): string {
    if (taken === 'notFound') return missing(name);
    const { json } = this.#options;
    if (taken === 'empty')
      return json ? '{"empty":true}' : `ERR EMPTY the stack ${oneLine(JSON.stringify(name))} is empty`;
    if (json) return `{"value":${jsonOf(taken)}}`;
    const { type, bytes } = scalarOf(taken);
    // A reply is one line; what would be more is shown as JSON.
    if (type !== 'str' || bytes.includes(0x0a) || bytes.includes(0x0d)) return jsonOf(taken);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
  }

  #failure(error: unknown): string {
    const { exitCode } = verdictOf(error);
    // "There is no such stack" is an answer like another.
    if (exitCode !== ExitCode.negative) this.exitCode = Math.max(this.exitCode, exitCode);
    const code = CordwoodError.is(error) ? error.code : 'INTERNAL';
    const outcome = CordwoodError.is(error) ? error.outcome : 'unknown';
    const message = oneLine(error instanceof Error ? error.message : String(error));
    if (this.#options.json) return JSON.stringify({ error: { code, message, outcome } });
    return `ERR ${code} ${message}${outcome === 'unknown' ? ' (outcome unknown)' : ''}`;
  }

  #finish(slot: Slot, reply: string): void {
    this.#running--;
    this.#settle(slot, reply);
    if (this.#running === 0 && this.#waiting.length > 0) this.#startWaiting();
    this.#room();
    this.#checkIdle();
  }

  #startWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const line of waiting) this.take(line);
  }

  #settle(slot: Slot, reply: string): void {
    slot.reply = reply;
    this.#lineBytes -= slot.lineBytes;
    if (this.#slots[this.#first] !== slot) return;
    while (this.#first < this.#slots.length) {
      const text = this.#slots[this.#first]!.reply;
      if (text === null) break;
      this.#gathered.push(text);
      this.#gatheredBytes += text.length + 1;
      this.#first++;
    }
    if (this.#first > 1_024 && this.#first * 2 > this.#slots.length) {
      this.#slots.splice(0, this.#first);
      this.#first = 0;
    }
    if (this.#gatheredBytes >= WRITE_BYTES) this.#write();
    else if (!this.#scheduled) {
      // One write for all replies that came together.
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.#write();
        this.#room();
        this.#checkIdle();
      });
    }
  }

  #write(): void {
    if (this.#blocked || this.#gathered.length === 0) return;
    const text = `${this.#gathered.join('\n')}\n`;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    if (!this.#options.output.write(text)) this.#blocked = true;
    if (this.#first === this.#slots.length) this.#options.onReply();
  }

  #room(): void {
    if (!this.#wasFull || this.full) return;
    this.#wasFull = false;
    this.#options.onRoom();
  }

  #checkIdle(): void {
    if (this.#onIdle === null || this.#first < this.#slots.length) return;
    if (this.#waiting.length > 0 || this.#gathered.length > 0 || this.#blocked) return;
    const resolve = this.#onIdle;
    this.#onIdle = null;
    resolve();
  }
}

function missing(name: string): never {
  throw new CordwoodError('NOT_FOUND', `there is no stack ${oneLine(JSON.stringify(name))}`);
}
