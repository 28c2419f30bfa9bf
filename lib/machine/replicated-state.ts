import { ByteWriter, getU64 } from '../../protocol/byte-writer.ts';
import { frameRequestId } from '../../protocol/client-codec.ts';
import { FRAME_HEADER_BYTES, Kind, Limits, Status, WRITE_HEADER_BYTES } from '../../protocol/constants.ts';
import { CordwoodError } from '../../protocol/errors.ts';
import { KeyedAnswers } from './keyed-answers.ts';
import { Lookahead } from './lookahead.ts';
import { writeNil, writeText } from './msgpack.ts';
import type { ReplyRun } from './response-frame.ts';
import { answerRest, finishResponse, fold, malformed } from './response-frame.ts';
import { keepAlive, otherFrame } from './session-frames.ts';
import type { SessionLimits } from './session-limits.ts';
import { defaultSessionLimits, MAX_SCATTERED_REFUSALS } from './session-limits.ts';
import type { Session } from './session.ts';
import { ABSENT, REFUSED } from './session.ts';
import { SessionTable } from './session-table.ts';
import { PlainBytes } from './plain-bytes.ts';
import { LastView } from './short-copy.ts';
import { hashSnapshot } from './snapshot-stream.ts';
import { readState, StateSnapshot } from './state-snapshot.ts';
import type { ApplyMeta, SnapshotView, StateMachine } from './state-machine.ts';

/**
 * Answers one batch gives to one reader at most. A small command can have a large answer, and a thousand copies of it
 * have a thousand: beyond this they are known to the session and the machine, not to the reader.
 */
const MAX_RUN_ANSWER_BYTES = 64 << 20;

/**
 * The answer to one query, its frame's header included. A client that is sent more than it takes ends the connection, with
 * all that is on it, and asks again.
 */
const MAX_QUERY_ANSWER_BYTES = 64 << 20;

/** Highest status a machine may answer with. */
const MAX_MACHINE_STATUS = 63;

/**
 * What every replica holds: the session layer in front of a machine, and the machine. Fed with committed entries in
 * order, it runs each command exactly once, however often it comes, and remembers the answers.
 *
 * Everything it does follows from the entries alone: two replicas that applied the same entries are equal, answers
 * included, and so is one that started from a snapshot. Every answer's body is one msgpack value.
 *
 * After a failure (a machine that threw, a batch that is no sequence of frames, a restore that broke off) it
 * refuses all further work with `MACHINE_FAILED`; only a restore brings it back.
 */
export class ReplicatedState {
  readonly machine: StateMachine;
  readonly limits: SessionLimits;
  #sessions = new SessionTable();
  #keyed = new KeyedAnswers();
  #appliedIndex = 0;
  #timeMs = 0;
  #answersHash = 0;
  /** Why nothing can be applied or asked. */
  #failure: CordwoodError | null = null;
  /** Takes the answers nobody waits for; sessions keep them all the same. */
  readonly #unread = new ByteWriter(64 * 1024);
  /** Entries lie in few large buffers: a view for each of those is enough. */
  readonly #plain = new PlainBytes();
  readonly #views = new LastView();
  readonly #lookahead: Lookahead;

  constructor(machine: StateMachine, limits: Partial<SessionLimits> = {}) {
    this.machine = machine;
    this.limits = { ...defaultSessionLimits, ...limits };
    this.#lookahead = new Lookahead(machine);
  }

  /** Index of the last entry applied. */
  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  /** The cluster's clock as of the last entry. */
  get timeMs(): number {
    return this.#timeMs;
  }

  /**
   * 32 bits over the answers to all commands so far, restored with snapshots: equal on replicas that are equal. Costs
   * a few nanoseconds per command, so it sees what answers show and not the whole state, as `hash` does.
   */
  get answersHash(): number {
    return this.#answersHash;
  }

  get sessionCount(): number {
    return this.#sessions.count;
  }

  /**
   * Applies one batch: `batch[start, end)` are whole write frames. `runs`, in order, say where the response frames
   * go; frames behind the last run have no reader. Throws `MACHINE_FAILED` if the machine throws, or the batch is
   * broken or out of order: the node must stop. Whoever waits for the frame that failed, or for one behind it, has been
   * told by then that its outcome is unknown.
   */
  applyBatch(
    batch: Uint8Array,
    start: number,
    end: number,
    meta: ApplyMeta,
    runs: readonly ReplyRun[],
  ): void {
    this.#enter(meta);
    const bytes = this.#plain.of(batch);
    const view = this.#views.of(bytes);
    let session: Session | undefined;
    let nextRun = 0;
    let runEnd = start;
    let reader: ByteWriter | null = null;
    let at = start;
    let hash = this.#answersHash;
    let lookedUpTo = start;
    let out: ByteWriter = this.#unread;
    let header = 0;
    let answering = -1;
    try {
      while (at < end) {
        if (at >= lookedUpTo) lookedUpTo = this.#lookahead.look(bytes, view, at, end);
        const frameEnd = at + 4 + (end - at < WRITE_HEADER_BYTES ? 0 : view.getUint32(at, true));
        if (frameEnd - at < WRITE_HEADER_BYTES || frameEnd > end) {
          throw this.#fail(`entry ${meta.index} is no sequence of frames`);
        }
        while (at >= runEnd) {
          const run = nextRun < runs.length ? runs[nextRun++]! : undefined;
          runEnd = run === undefined ? Infinity : start + run.end;
          reader = run === undefined ? null : run.out;
        }
        if (reader === null) {
          out = this.#unread;
          out.position = 0;
        } else out = reader;
        header = out.position;
        answering = at;
        out.ensure(FRAME_HEADER_BYTES);
        out.position = header + FRAME_HEADER_BYTES;

        let status: number;
        const kind = bytes[at + 4]!;
        const sessionId = getU64(view, at + 16);
        if (sessionId !== 0 && (kind === Kind.command || kind === Kind.keepAlive)) {
          // Frames of one session mostly come one behind the other: it is looked up once for all of them.
          if (session === undefined || session.id !== sessionId) {
            session = this.#sessions.get(sessionId);
            if (session !== undefined) this.#sessions.use(session, this.#timeMs);
          }
          if (session === undefined) {
            writeNil(out);
            status = Status.sessionExpired;
          } else {
            const charged = session.chargedBytes;
            status =
              kind === Kind.command
                ? this.#command(session, bytes, view, at, frameEnd, out, meta)
                : keepAlive(session, bytes, at, out);
            this.#sessions.chargedBytes += session.chargedBytes - charged;
            if (session.refused !== null && session.refused.size > MAX_SCATTERED_REFUSALS) {
              this.#sessions.remove(session);
              session = undefined;
            }
          }
        } else if (kind === Kind.command) {
          status = this.#run(bytes, at + WRITE_HEADER_BYTES, frameEnd, out, meta);
        } else {
          // It may end the session at hand.
          session = undefined;
          status = this.#other(kind, bytes, at, frameEnd, out, meta);
        }
        hash = fold(hash, status, out.buffer, header + FRAME_HEADER_BYTES, out.position);
        if (out.position > MAX_RUN_ANSWER_BYTES && reader !== null) {
          out.position = header + FRAME_HEADER_BYTES;
          writeNil(out);
          status = Status.unknown;
        }
        finishResponse(out, header, status, view.getUint32(at + 8, true));
        at = frameEnd;
      }
    } catch (error) {
      // Half an answer must not leave: what stood in the buffer there may read as one that says the opposite.
      if (answering === at) {
        out.position = header;
        answerRest(view, start, at, runs, Status.unknown);
      }
      throw error;
    }
    this.#answersHash = hash;
  }

  /** Applies an entry that carries no commands: only index and clock move on. */
  applyEmpty(meta: ApplyMeta): void {
    this.#enter(meta);
  }

  /**
   * Answers one whole query frame, `frames[start, end)`, with a response frame. A machine that throws has changed
   * nothing: whoever asked is told, and nobody else is hurt. Throws `MACHINE_FAILED` after an earlier failure.
   */
  query(frames: Uint8Array, start: number, end: number, out: ByteWriter): void {
    if (this.#failure !== null) throw this.#failure;
    const bytes = this.#plain.of(frames);
    const header = out.position;
    out.ensure(FRAME_HEADER_BYTES);
    out.position = header + FRAME_HEADER_BYTES;
    let status: number;
    try {
      status = this.machine.query(bytes, start + FRAME_HEADER_BYTES, end, out);
      if (!isMachineStatus(status)) throw new RangeError(`${status} is no status of a machine`);
    } catch (error) {
      out.position = header + FRAME_HEADER_BYTES;
      writeText(out, `The machine "${this.machine.name}" threw in query: ${String(error)}`);
      status = Status.badCommand;
    }
    if (out.position - header > MAX_QUERY_ANSWER_BYTES) {
      out.position = header + FRAME_HEADER_BYTES;
      writeText(
        out,
        `The answer is larger than ${MAX_QUERY_ANSWER_BYTES >> 20} MiB: ask for less at a time.`,
      );
      status = Status.badCommand;
    }
    finishResponse(out, header, status, frameRequestId(bytes, start));
  }

  /**
   * An immutable view of everything as it is now: sessions and their answers, idempotency keys, clock, applied
   * index and the machine. Takes constant time, apart from what the machine needs.
   */
  snapshot(): SnapshotView {
    if (this.#failure !== null) throw this.#failure;
    const { name, version } = this.machine;
    return new StateSnapshot(
      {
        machine: name,
        version,
        appliedIndex: this.#appliedIndex,
        timeMs: this.#timeMs,
        answersHash: this.#answersHash,
      },
      this.#sessions,
      this.#keyed,
      this.machine.snapshot(),
    );
  }

  /**
   * Replaces everything by a snapshot's. Rejects with `SNAPSHOT_DAMAGED`, or `INCOMPATIBLE_VERSION` if it is
   * another machine's. If the machine had seen any of it by then, this state is unusable until a restore succeeds; before
   * that nothing has changed. Must not run beside anything else.
   */
  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const restored = await readState(chunks, this.machine, () => {
      this.#fail('a restore was begun and did not end well');
    });
    this.#sessions = restored.sessions;
    this.#keyed = restored.keyed;
    this.#appliedIndex = restored.appliedIndex;
    this.#timeMs = restored.timeMs;
    this.#answersHash = restored.answersHash;
    this.#failure = null;
  }

  /** SHA-256 (hex) of everything. Equal on replicas that applied the same entries. Reads the whole state. */
  hash(): string {
    return hashSnapshot(this.snapshot());
  }

  #enter(meta: ApplyMeta): void {
    if (this.#failure !== null) throw this.#failure;
    if (meta.index !== this.#appliedIndex + 1) {
      throw this.#fail(`entry ${meta.index} came behind entry ${this.#appliedIndex}`);
    }
    this.#appliedIndex = meta.index;
    if (meta.timeMs > this.#timeMs) this.#timeMs = meta.timeMs;
    this.#sessions.expire(this.#timeMs);
    this.#keyed.expire(this.#timeMs, this.limits.keyTtlMs);
  }

  /** A command under a session: runs it unless it ran before, was refused before, or must be refused now. */
  #command(
    session: Session,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    frameEnd: number,
    out: ByteWriter,
    meta: ApplyMeta,
  ): number {
    const seq = getU64(view, at + 24);
    if (seq === 0 || seq > Number.MAX_SAFE_INTEGER - 1) return malformed(out, 'seq counts from 1');
    const window = view.getUint32(at + 12, true);
    if (seq - window > session.low) session.acknowledge(seq - window);
    if (seq < session.low) {
      writeNil(out);
      return Status.alreadyAcked;
    }
    const slot = session.find(seq);
    if (slot >= 0) {
      session.writeBody(slot, out);
      return session.statusAt(slot);
    }
    if (slot === REFUSED || this.#sessions.isFull(session, seq, this.limits)) {
      const body = out.position;
      writeNil(out);
      if (slot === ABSENT) {
        // One seq, one outcome: a retry must not be executed because there is room by then.
        if (seq <= session.next && seq - session.low < Limits.maxSessionWindow) {
          session.record(seq, Status.sessionFull, out.buffer, body, out.position);
        } else session.refuse(seq);
      }
      return Status.sessionFull;
    }
    const body = out.position;
    const status = this.#run(bytes, at + WRITE_HEADER_BYTES, frameEnd, out, meta);
    session.record(seq, status, out.buffer, body, out.position);
    return status;
  }

  /** Kinds other than commands under (or without) a session. */
  #other(
    kind: number,
    bytes: Uint8Array,
    at: number,
    frameEnd: number,
    out: ByteWriter,
    meta: ApplyMeta,
  ): number {
    const state = {
      sessions: this.#sessions,
      keyed: this.#keyed,
      limits: this.limits,
      timeMs: this.#timeMs,
      run: (start: number, end: number) => this.#run(bytes, start, end, out, meta),
    };
    return otherFrame(state, kind, bytes, at, frameEnd, out);
  }

  #run(bytes: Uint8Array, start: number, end: number, out: ByteWriter, meta: ApplyMeta): number {
    let status: number;
    try {
      status = this.machine.apply(bytes, start, end, out, meta);
    } catch (error) {
      throw this.#fail(`machine "${this.machine.name}" threw in apply: ${String(error)}`, error);
    }
    if (!isMachineStatus(status))
      throw this.#fail(`machine "${this.machine.name}" answered with status ${status}`);
    return status;
  }

  #fail(reason: string, cause?: unknown): CordwoodError {
    this.#failure = new CordwoodError('MACHINE_FAILED', `The replicated state cannot go on: ${reason}.`, {
      cause,
    });
    return this.#failure;
  }
}

function isMachineStatus(status: number): boolean {
  return Number.isInteger(status) && status >= 0 && status <= MAX_MACHINE_STATUS;
}
