import { Client } from '../../lib/client/index.ts';
import { StackOp, Status } from '../../protocol/constants.ts';
import { encodeValue } from '../../protocol/msgpack.ts';
import type { Ledger } from './load.ts';
import { NumberSet, numberOf, workerOf } from './values.ts';

export interface Verdict {
  /** Values that were acknowledged and are accounted for. */
  readonly verified: number;
  /** What is wrong; empty if nothing is. */
  readonly faults: readonly string[];
}

const POP_COUNT = 20_000;
const MAX_FAULTS = 5;

const PARALLEL = 256;

/**
 * Empties stacks and compares what was on them with what the loads know: every acknowledged push is there, or was
 * popped, exactly once; nothing else is; and nothing whose push certainly failed.
 */
export async function verifyStacks(
  client: Client,
  stacks: readonly string[],
  ledgers: readonly Ledger[],
): Promise<Verdict> {
  const faults = new Faults();
  const left = new Map<number, NumberSet>();
  const visit = (value: Uint8Array, start: number, end: number): void => {
    const worker = workerOf(value, start);
    const number = numberOf(value, start, end);
    let numbers = left.get(worker);
    if (numbers === undefined) left.set(worker, (numbers = new NumberSet()));
    if (number < 0) faults.add('something is on the stack that nobody pushed');
    else if (!numbers.add(number)) faults.add(`value ${worker}/${number} is there twice`);
  };
  for (let i = 0; i < stacks.length; i += PARALLEL) {
    await Promise.all(
      stacks.slice(i, i + PARALLEL).map(async (stack) => {
        await takeAll(client, stack, visit);
        await client.drop(stack);
      }),
    );
  }
  let verified = 0;
  let missing = 0;
  let extra = 0;
  let unknownPops = 0;
  let unknownPushes = 0;
  for (const ledger of ledgers) {
    for (const fault of ledger.faults) faults.add(fault);
    unknownPops += ledger.unknownPops;
    unknownPushes += ledger.unknownPushes;
    const pushed = new NumberSet(ledger.pushed.bits, ledger.pushed.size);
    const found = left.get(ledger.worker) ?? new NumberSet();
    left.delete(ledger.worker);
    const popped = ledgers.flatMap((other) =>
      other.popped
        .filter(([worker]) => worker === ledger.worker)
        .map(([, { bits, size }]) => new NumberSet(bits, size)),
    );
    for (let number = 0; number < ledger.made; number++) {
      let times = found.has(number) ? 1 : 0;
      for (const numbers of popped) if (numbers.has(number)) times++;
      if (times > 1) faults.add(`value ${ledger.worker}/${number} came off ${times} times`);
      if (times === 1 && !pushed.has(number)) extra++;
      if (times === 0 && pushed.has(number)) missing++;
      if (times === 1 && pushed.has(number)) verified++;
    }
    if (found.size > 0 && lastOf(found) >= ledger.made) faults.add('a value is there that was not made yet');
  }
  for (const worker of left.keys()) faults.add(`values of an unknown worker ${worker}`);
  if (missing > unknownPops) faults.add(`${missing - unknownPops} acknowledged pushes are lost`);
  if (extra > unknownPushes) faults.add(`${extra - unknownPushes} pushes that failed are there`);
  return { verified, faults: faults.list };
}

/** Takes everything off a stack. The values are looked at where they lie: there may be millions. */
async function takeAll(
  client: Client,
  stack: string,
  visit: (bytes: Uint8Array, start: number, end: number) => void,
): Promise<void> {
  const command = encodeValue([StackOp.popMany, stack, POP_COUNT]);
  for (;;) {
    const { status, body } = await client.command(command, { timeoutMs: 30_000 });
    if (status === Status.empty || status === Status.notFound) return;
    if (status !== Status.ok) throw new Error(`popMany answered with status ${status}`);
    if (visitBins(body, visit) === 0) return;
  }
}

/** Walks a msgpack array of bins. Returns how many there were. */
function visitBins(body: Uint8Array, visit: (bytes: Uint8Array, start: number, end: number) => void): number {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const tag = view.getUint8(0);
  const count = tag === 0xdc ? view.getUint16(1) : tag === 0xdd ? view.getUint32(1) : tag & 0x0f;
  let at = tag === 0xdc ? 3 : tag === 0xdd ? 5 : 1;
  for (let i = 0; i < count; i++) {
    const kind = view.getUint8(at);
    if (kind < 0xc4 || kind > 0xc6) throw new Error('a value is no bin');
    const lengthBytes = 1 << (kind - 0xc4);
    const length =
      kind === 0xc4 ? view.getUint8(at + 1) : kind === 0xc5 ? view.getUint16(at + 1) : view.getUint32(at + 1);
    at += 1 + lengthBytes;
    visit(body, at, at + length);
    at += length;
  }
  return count;
}

function lastOf(numbers: NumberSet): number {
  for (let word = numbers.bits.length - 1; word >= 0; word--) {
    const bits = numbers.bits[word]!;
    if (bits !== 0) return word * 32 + 31 - Math.clz32(bits);
  }
  return -1;
}

class Faults {
  readonly #list: string[] = [];
  #more = 0;

  add(fault: string): void {
    if (this.#list.length < MAX_FAULTS) this.#list.push(fault);
    else this.#more++;
  }

  get list(): string[] {
    return this.#more === 0 ? this.#list : [...this.#list, `and ${this.#more} more`];
  }
}
