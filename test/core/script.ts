import type { CoreInit } from '../../lib/core/state.ts';
import { RaftCore } from '../../lib/core/raft-core.ts';
import {
  EntryKind,
  type Config,
  type Message,
  type NodeId,
  type SnapshotMeta,
} from '../../lib/core/types.ts';
import { CoreDisk } from '../../lib/testing/core-disk.ts';
import { formatMessage } from '../../lib/testing/format-message.ts';
import { ModelLog, type ModelEntry } from '../../lib/testing/model-log.ts';

/**
 * Small stories about cores, as text. A file holds commands (`> …`), each followed by everything that happened because
 * of it, and comments (`# …`). `replayScript` runs the commands and returns the file as it should be.
 *
 *   cluster 3 [learners 1] [OPTION=n …]  new nodes, the first `n − learners` are voters
 *   settle                  deliver every message and finish every write, until all is quiet
 *   deliver A B [KIND]      deliver what is under way from A to B; also `drop` and `twice`
 *   hold A / durable A [n]  writes of A wait from now on; finish the oldest n (all); `free A`: no longer wait
 *   cut A B / heal          messages from A to B are lost while settling
 *   sleep MS [A …]          clocks go on, nothing else happens
 *   elect A                 A is made leader, and everyone knows; only the result is shown
 *   timeout A               A's election timer runs out; `beat A`: A's heartbeat is due; `tick A`
 *   propose A [n] [BYTES]   `read A`, `transfer A B`, `stepdown A`, `lost A B`, `refused A B`
 *   config A voters 1 2 learners 3 [at INDEX]
 *   snapshot A INDEX        A takes a snapshot and compacts; `send A B`: B gets it whole; `install B`; `sent A B`
 *   forge A B KEY=n …       B gets a message that A never sent, with `entry=1` for each entry of A that it carries
 *   crash A [n]             the oldest n writes survive; `start A`
 *   state [A …]             where they are
 */
export function replayScript(text: string): string {
  const script = new Script();
  const out: string[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('> ')) {
      out.push(line, ...script.run(line.slice(2).trim().split(/\s+/)).map((l) => `  ${l}`));
    } else if (line.startsWith('#') || line.trim() === '') {
      if (line !== '' || out.at(-1) !== '') out.push(line);
    }
  }
  return `${out.join('\n').trimEnd()}\n`;
}

interface Letter {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly message: Message;
  readonly entries: readonly ModelEntry[];
}

interface Actor {
  readonly id: NodeId;
  readonly disk: CoreDisk;
  core: RaftCore;
  log: ModelLog;
  nowMs: number;
  deadlineMs: number;
  up: boolean;
  held: boolean;
  /** Received, durable, and not installed yet. */
  staged: SnapshotMeta | null;
  role: string;
  commit: number;
}

class Script {
  #actors: Actor[] = [];
  #bootstrap!: Config;
  #options: Record<string, number> = {};
  #mail: Letter[] = [];
  #cut = new Set<string>();
  #out: string[] = [];
  #entryId = 0;
  #token = 0;

  run(words: string[]): string[] {
    this.#out = [];
    const [command = '', ...args] = words;
    try {
      this.#command(command, args);
    } catch (error) {
      this.#out.push(`! ${(error as Error).message}`);
    }
    return this.#out;
  }

  #command(command: string, args: string[]): void {
    if (command === 'cluster') return this.#cluster(args);
    if (command === 'settle') return this.#settle();
    if (command === 'heal') return this.#cut.clear();
    if (command === 'cut') return void this.#cut.add(`${args[0]} ${args[1]}`);
    if (command === 'state') return this.#state(args);
    if (command === 'sleep') {
      for (const a of this.#some(args.slice(1))) a.nowMs += Number(args[0]);
      return;
    }
    if (command === 'deliver' || command === 'drop' || command === 'twice') return this.#post(command, args);
    const a = this.#actor(args[0]);
    const other = Number(args[1] ?? 0);
    const { core } = a;
    if (command === 'elect') this.#elect(a);
    else if (command === 'hold') a.held = true;
    else if (command === 'free') a.held = false;
    else if (command === 'durable') this.#durable(a, args[1] === undefined ? Infinity : other);
    else if (command === 'crash') this.#crash(a, other);
    else if (command === 'start') this.#start(a);
    else if (command === 'timeout' || command === 'beat') {
      a.nowMs = Math.max(a.nowMs, a.deadlineMs);
      this.#turn(a, () => core.tick());
    } else if (command === 'tick') this.#turn(a, () => core.tick());
    else if (command === 'propose') this.#propose(a, other || 1, Number(args[2] ?? 100));
    else if (command === 'read') this.#turn(a, () => core.readIndex(++this.#token));
    else if (command === 'transfer') this.#turn(a, () => this.#say(a, `transfer to ${core.transfer(other)}`));
    else if (command === 'stepdown') this.#turn(a, () => core.stepDown());
    else if (command === 'lost') this.#turn(a, () => core.peerLost(other));
    else if (command === 'refused') this.#turn(a, () => core.leaderRefused(other));
    else if (command === 'config') this.#config(a, args.slice(1));
    else if (command === 'snapshot') this.#snapshot(a, other);
    else if (command === 'send') this.#sendSnapshot(a, this.#actor(args[1]));
    else if (command === 'install') this.#install(a);
    else if (command === 'sent') this.#turn(a, () => core.snapshotFinished(other));
    else if (command === 'forge') this.#forge(a.id, this.#actor(args[1]), args.slice(2));
    else throw new Error(`no command ${command}`);
  }

  // --- nodes --------------------------------------------------------------------------------------------------------

  #cluster(args: string[]): void {
    const count = Number(args[0]);
    let learners = 0;
    this.#options = { messageBytes: 1000, inflight: 16, inflightBytes: 100_000 };
    for (let i = 1; i < args.length; i++) {
      if (args[i] === 'learners') learners = Number(args[++i]);
      else this.#options[args[i]!.split('=')[0]!] = Number(args[i]!.split('=')[1]);
    }
    const ids = Array.from({ length: count }, (_, i) => i + 1);
    this.#bootstrap = {
      voters: ids.slice(0, count - learners),
      outgoing: [],
      learners: ids.slice(count - learners),
      learnersNext: [],
      members: ids.map((id) => ({ id, peerAddress: `node-${id}` })),
    };
    this.#mail = [];
    this.#cut.clear();
    this.#actors = ids.map((id) => {
      const a = {
        id,
        disk: new CoreDisk(),
        nowMs: 0,
        up: false,
        held: false,
        staged: null,
      } as unknown as Actor;
      return a;
    });
    for (const a of this.#actors) this.#start(a);
  }

  #start(a: Actor): void {
    const init: CoreInit = a.disk.recover(this.#bootstrap, a.nowMs);
    const o = this.#options;
    a.core = new RaftCore(
      {
        id: a.id,
        heartbeatMs: 100,
        electionTimeoutMs: 1000,
        lostLeaderDelayMs: 20,
        maxMessageBytes: o['messageBytes']!,
        maxInflightMessages: o['inflight']!,
        maxInflightBytes: o['inflightBytes']!,
        emptyEntryBytes: 40,
        seed: a.id,
      },
      init,
    );
    a.log = new ModelLog();
    a.log.reset(a.disk.log.prevIndex, a.disk.log.prevTerm);
    a.log.entries = [...a.disk.log.entries];
    a.up = true;
    a.role = '';
    a.commit = a.core.commitIndex;
    this.#turn(a, () => undefined);
  }

  #crash(a: Actor, keep: number): void {
    for (let i = 0; i < keep && a.disk.pending > 0; i++) a.disk.complete();
    a.disk.loseWrites();
    a.up = false;
    a.held = false;
    a.staged = null;
    this.#mail = this.#mail.filter((m) => m.from !== a.id && m.to !== a.id);
  }

  /** One turn of the driver: clock, input, drain; time passes where a story says so. */
  #turn(a: Actor, input: () => void): void {
    if (!a.up) return;
    const { core } = a;
    core.clock(a.nowMs);
    input();
    core.settle();
    this.#created(a);
    this.#follow(a);
    const e = core.drain();
    if (e.persist) {
      const { ticket, hardState, resetTo, first, last } = e.persist;
      const entries = first === 0 ? [] : a.log.slice(Math.max(first, a.log.prevIndex + 1), last);
      a.disk.submit({ ticket, hardState, resetTo, first, entries });
      const parts = [
        ...(hardState ? [`term ${hardState.term} vote ${hardState.vote}`] : []),
        ...(resetTo ? [`reset to ${resetTo.index}/${resetTo.term}`] : []),
        ...(first > 0 ? [`entries ${first}…${last}`] : []),
      ];
      this.#say(a, `writes #${ticket} ${parts.join(', ')}`);
    }
    for (const { to, message } of e.messages) {
      const entries = message.kind === 'append' ? a.log.slice(message.prevIndex + 1, message.last) : [];
      this.#mail.push({ from: a.id, to, message, entries });
      this.#out.push(`${a.id} → ${to}  ${formatMessage(message)}`);
    }
    for (const r of e.reads) this.#say(a, `read ${r.token} confirmed at ${r.index}`);
    for (const token of e.failedReads) this.#say(a, `read ${token} failed`);
    for (const peer of e.snapshots) this.#say(a, `wants a snapshot for ${peer}`);
    a.deadlineMs = e.nextDeadlineMs;
  }

  #created(a: Actor): void {
    for (const c of a.core.takeCreated()) {
      a.log.append({ ...c, id: ++this.#entryId, sizeBytes: 40 });
      this.#say(a, `appends ${c.index} ${c.kind === EntryKind.noop ? 'no-op' : formatConfig(c.config!)}`);
    }
  }

  #follow(a: Actor): void {
    const { core } = a;
    const role = `${core.role} in term ${core.term}${core.leader && core.leader !== a.id ? ` of ${core.leader}` : ''}`;
    if (role !== a.role) this.#say(a, `is ${role}`);
    a.role = role;
    if (core.commitIndex !== a.commit) this.#say(a, `commits ${core.commitIndex}`);
    a.commit = core.commitIndex;
  }

  #durable(a: Actor, count: number): void {
    let ticket = 0;
    for (let i = 0; i < count && a.disk.pending > 0; i++) ticket = a.disk.complete();
    if (ticket > 0) this.#turn(a, () => a.core.durable(ticket));
  }

  // --- messages -----------------------------------------------------------------------------------------------------

  #deliver(letter: Letter): void {
    const a = this.#actor(String(letter.to));
    const m = letter.message;
    this.#turn(a, () => {
      const metas = letter.entries.map((e) => ({
        term: e.term,
        kind: e.kind,
        sizeBytes: e.sizeBytes,
        ...(e.config ? { config: e.config } : {}),
      }));
      const first = a.core.receive(letter.from, m.kind === 'append' ? { ...m, entries: metas } : m);
      if (first === 0) return;
      if (first <= a.log.lastIndex) this.#say(a, `drops ${first}…${a.log.lastIndex}`);
      a.log.truncateFrom(first);
      for (const e of letter.entries) if (e.index >= first) a.log.append(e);
    });
  }

  #post(how: string, [from, to, kind]: string[]): void {
    const matches = (m: Letter): boolean =>
      m.from === Number(from) && m.to === Number(to) && (kind === undefined || m.message.kind === kind);
    const letters = this.#mail.filter(matches);
    this.#mail = this.#mail.filter((m) => !matches(m));
    if (letters.length === 0) this.#out.push('(nothing under way)');
    if (how !== 'drop') for (const m of letters) this.#deliver(m);
    if (how === 'twice') for (const m of letters) this.#deliver(m);
  }

  #settle(): void {
    for (let round = 0; round < 200; round++) {
      const mail = this.#mail;
      this.#mail = [];
      for (const m of mail) {
        if (!this.#cut.has(`${m.from} ${m.to}`) && this.#actor(String(m.to)).up) this.#deliver(m);
        else this.#out.push(`${m.from} ↛ ${m.to}  ${m.message.kind} lost`);
      }
      const writing = this.#actors.filter((a) => a.up && !a.held && a.disk.pending > 0);
      for (const a of writing) this.#durable(a, Infinity);
      if (this.#mail.length === 0 && writing.length === 0) return;
    }
    throw new Error('does not come to rest');
  }

  #elect(a: Actor): void {
    for (let tries = 0; tries < 5 && a.core.role !== 'leader'; tries++) {
      for (const other of this.#actors) other.nowMs += 2000;
      this.#command('timeout', [String(a.id)]);
      this.#settle();
    }
    this.#command('beat', [String(a.id)]);
    this.#settle();
    this.#out = [];
    this.#state([String(a.id)]);
  }

  #forge(from: NodeId, to: Actor, pairs: string[]): void {
    const message: Record<string, unknown> = { entries: [] };
    const entries: ModelEntry[] = [];
    for (const pair of pairs) {
      const [key = '', value = ''] = pair.split('=');
      if (key === 'entry')
        entries.push(this.#copyOf(from, Number(message['prevIndex']) + 1 + entries.length));
      else message[key] = key === 'kind' ? value : value === 'true' || (value !== 'false' && Number(value));
    }
    this.#deliver({ from, to: to.id, message: message as unknown as Message, entries });
  }

  #copyOf(from: NodeId, index: number): ModelEntry {
    return this.#actor(String(from)).log.get(index)!;
  }

  // --- requests -----------------------------------------------------------------------------------------------------

  #propose(a: Actor, count: number, sizeBytes: number): void {
    this.#turn(a, () => {
      for (let i = 0; i < count; i++) {
        const index = a.core.propose(sizeBytes);
        if (index === 0) return this.#say(a, 'refuses the proposal');
        this.#created(a);
        const { term } = a.core;
        a.log.append({ index, term, kind: EntryKind.batch, id: ++this.#entryId, sizeBytes, config: null });
      }
    });
  }

  #config(a: Actor, args: string[]): void {
    const lists: Record<string, number[]> = { voters: [], learners: [], at: [] };
    let list = '';
    for (const word of args) {
      if (word in lists) list = word;
      else lists[list]!.push(Number(word));
    }
    const { voters, learners } = lists as { voters: number[]; learners: number[] };
    const members = [...voters, ...learners].map((id) => ({ id, peerAddress: `node-${id}` }));
    const at = lists['at']![0] ?? a.core.configIndex;
    this.#turn(a, () => {
      const result = a.core.proposeConfig({ voters, learners, members }, at);
      if (typeof result === 'string') this.#say(a, `refuses: ${result}`);
    });
  }

  #snapshot(a: Actor, index: number): void {
    const at = a.core.configAt(index);
    a.disk.storeSnapshot({ index, term: a.core.termAt(index), config: at.config, configIndex: at.index });
    this.#turn(a, () => a.core.compact(index));
    a.log.compactTo(index);
    if (a.disk.log.termAt(index) >= 0) a.disk.log.compactTo(index);
  }

  #sendSnapshot(a: Actor, to: Actor): void {
    const snapshot = a.disk.snapshot!;
    const { term } = a.core;
    to.disk.storeSnapshot(snapshot);
    this.#turn(to, () => {
      to.core.snapshotTraffic(a.id, term);
      const begun = to.core.beginInstall(snapshot);
      this.#say(
        to,
        `${begun ? 'begins to install' : 'has no use for'} the snapshot ${snapshot.index}/${snapshot.term}`,
      );
      if (begun) to.staged = snapshot;
    });
  }

  #install(a: Actor): void {
    const meta = a.staged!;
    a.staged = null;
    this.#turn(a, () => {
      a.core.snapshotInstalled();
      if (a.log.termAt(meta.index) === meta.term) a.log.compactTo(meta.index);
      else a.log.reset(meta.index, meta.term);
    });
  }

  // --- output -------------------------------------------------------------------------------------------------------

  #state(args: string[]): void {
    for (const a of this.#some(args)) {
      const { core, log } = a;
      if (!a.up) {
        this.#out.push(`${a.id}: down, on disk ${this.#terms(a.disk.log)}, term ${a.disk.hardState.term}`);
        continue;
      }
      const parts = [
        `${core.role} term ${core.term} vote ${core.vote} leader ${core.leader}`,
        `log ${this.#terms(log)}`,
        `commit ${core.commitIndex} durable ${core.durableIndex}`,
        formatConfig(core.config),
      ];
      if (core.state.progress.size > 0) {
        const peers = [...core.state.progress.values()];
        parts.push(peers.map((p) => `${p.id}:${p.state} ${p.match}/${p.next}`).join(' '));
      }
      this.#out.push(`${a.id}: ${parts.join(' | ')}`);
    }
  }

  #terms(log: ModelLog): string {
    const behind = log.prevIndex > 0 ? `(${log.prevIndex}/${log.prevTerm}) ` : '';
    return `${behind}[${log.entries.map((e) => e.term).join(' ')}]`;
  }

  #say(a: Actor, what: string): void {
    this.#out.push(`${a.id} ${what}`);
  }

  #actor(id: string | undefined): Actor {
    const a = this.#actors[Number(id) - 1];
    if (!a) throw new Error(`no node ${id ?? ''}`);
    return a;
  }

  #some(ids: string[]): Actor[] {
    return ids.length === 0 ? this.#actors : ids.map((id) => this.#actor(id));
  }
}

function formatConfig(c: Config): string {
  const out = c.outgoing.length > 0 ? ` outgoing ${c.outgoing.join(' ')}` : '';
  const learners = c.learners.length > 0 ? ` learners ${c.learners.join(' ')}` : '';
  const next = c.learnersNext.length > 0 ? ` next ${c.learnersNext.join(' ')}` : '';
  return `voters ${c.voters.join(' ')}${out}${learners}${next}`;
}
