import t from 'tap';
import { PlainBytes } from '../../lib/machine/plain-bytes.ts';
import { ReplicatedState } from '../../lib/machine/replicated-state.ts';
import type { StateMachine } from '../../lib/machine/state-machine.ts';
import { ByteWriter } from '../../protocol/byte-writer.ts';
import { FRAME_HEADER_BYTES, Kind, Status } from '../../protocol/constants.ts';
import { frame } from './harness.ts';

/** Keeps every command and query it sees, as its author would write it down. */
class Keeper implements StateMachine {
  readonly name = 'keeper';
  readonly version = 1;
  readonly kept: Uint8Array[] = [];

  apply(bytes: Uint8Array, start: number, end: number, out: ByteWriter): number {
    this.kept.push(bytes.slice(start, end));
    out.u8(0xc0);
    return Status.ok;
  }

  query(bytes: Uint8Array, start: number, end: number, out: ByteWriter): number {
    return this.apply(bytes, start, end, out);
  }

  snapshot(): never {
    throw new Error('not asked for here');
  }

  async restore(): Promise<void> {}
}

t.test('what a machine slices off its bytes is a copy', async (t) => {
  const machine = new Keeper();
  const state = new ReplicatedState(machine);
  const socket = Buffer.alloc(100);
  for (const text of ['first', 'second']) {
    const command = frame({ body: Buffer.from(text) });
    command.copy(socket);
    state.applyBatch(socket, 0, command.length, { index: state.appliedIndex + 1, timeMs: 0 }, []);
    const body = Buffer.from(`${text}?`);
    const query = new ByteWriter(32);
    query
      .u32(FRAME_HEADER_BYTES - 4 + body.length)
      .u8(Kind.query)
      .u8(0)
      .u16(0)
      .u32(1);
    query.bytes(body);
    query.take().copy(socket);
    state.query(socket, 0, FRAME_HEADER_BYTES + body.length, new ByteWriter(32));
  }
  socket.fill(0xdb);
  t.same(
    machine.kept.map((bytes) => Buffer.from(bytes).toString()),
    ['first', 'first?', 'second', 'second?'],
  );
});

t.test('a view is made once for many batches in one buffer', async (t) => {
  const plain = new PlainBytes();
  const memory = Buffer.from(new SharedArrayBuffer(64), 8, 16);
  const view = plain.of(memory);
  memory[3] = 7;
  t.equal(view[3], 7);
  t.equal(view.length, 16);
  t.notOk(Buffer.isBuffer(view));
  t.equal(plain.of(memory), view);
  const already = new Uint8Array(4);
  t.equal(plain.of(already), already);
  t.not(plain.of(memory), already);
});
