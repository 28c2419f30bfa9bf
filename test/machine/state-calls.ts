import { encode } from '@msgpack/msgpack';
import assert from 'node:assert/strict';
import { ReplicatedState } from '../../lib/machine/replicated-state.ts';
import type { SessionLimits } from '../../lib/machine/session-limits.ts';
import { StackMachine } from '../../lib/machine/stack-machine.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { Kind, Status, StackOp } from '../../protocol/constants.ts';
import type { Write } from './harness.ts';
import { applyOne, chunked, collect, responses } from './harness.ts';

export function fresh(limits: Partial<SessionLimits> = {}): ReplicatedState {
  return new ReplicatedState(new StackMachine(), limits);
}

export function open(state: ReplicatedState, body?: unknown, timeMs = 0): number {
  const { status, value } = applyOne(state, { kind: Kind.openSession, body }, timeMs);
  assert.equal(status, Status.ok);
  return value as number;
}

export const push = (session: number, seq: number, value: unknown, window?: number): Write => ({
  session,
  seq,
  body: [StackOp.push, 's', value],
  ...(window === undefined ? {} : { window }),
});
export const pop = (session: number, seq: number): Write => ({ session, seq, body: [StackOp.pop, 's'] });

export function sizeOf(state: ReplicatedState, name = 's'): unknown {
  const out = new ByteWriter(64);
  const body = encode([StackOp.size, name]);
  out
    .u32(8 + body.length)
    .u8(Kind.query)
    .u8(0)
    .u16(0)
    .u32(9)
    .bytes(body);
  const query = out.take();
  state.query(query, 0, query.length, out);
  const [answer] = responses(out.take());
  assert.equal(answer!.requestId, 9);
  return answer!.value;
}

export async function copyOf(
  state: ReplicatedState,
  limits: Partial<SessionLimits> = {},
): Promise<ReplicatedState> {
  const copy = fresh(limits);
  await copy.restore(chunked(collect(state.snapshot()), 1000));
  return copy;
}
