import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { freePorts } from '../support/free-ports.ts';
import { until } from '../support/until.ts';
import type { Absent } from './contestant.ts';
import { installed, PeerProcess } from './peer-process.ts';

const MEMBERS = 3;
const RETRY_MS = 5;
const STATUS_TIMEOUT_MS = 500;
/** A read that began before there was a leader may wait longer than one that is asked again. */
const READ_TIMEOUT_MS = 500;
const LEADER_TIMEOUT_MS = 30_000;

/** One member of an etcd cluster, a process of its own, started as often as wanted. */
export class EtcdMember {
  /** `host:port` for clients. */
  readonly address: string;
  readonly #port: number;
  readonly #run: () => PeerProcess;
  #process: PeerProcess | null = null;

  constructor(port: number, run: () => PeerProcess) {
    this.address = `127.0.0.1:${port}`;
    this.#port = port;
    this.#run = run;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Resolves when it listens, which is before it serves. */
  async start(): Promise<void> {
    this.#process = this.#run();
    await this.#process.listens(this.#port);
  }

  signal(name: NodeJS.Signals): void {
    this.#process?.signal(name);
  }

  async kill(): Promise<void> {
    await this.#process?.kill();
    this.#process = null;
  }

  async stop(): Promise<void> {
    await this.#process?.terminate();
    this.#process = null;
  }
}

/** Three members of etcd on this machine, spoken to over their HTTP gateway. */
export class EtcdCluster {
  readonly members: readonly EtcdMember[];

  private constructor(members: readonly EtcdMember[]) {
    this.members = members;
  }

  /** `flags`: more of them for each member. */
  static async start(directory: string, flags: readonly string[] = []): Promise<EtcdCluster | Absent> {
    const program = installed('etcd');
    if (program === null) return { name: 'etcd', why: 'no etcd on the PATH (Debian: etcd-server)' };
    const ports = await freePorts(2 * MEMBERS);
    const url = (port: number): string => `http://127.0.0.1:${port}`;
    const names = Array.from({ length: MEMBERS }, (_, i) => `member-${i + 1}`);
    const all = names.map((name, i) => `${name}=${url(ports[MEMBERS + i]!)}`).join(',');
    const members = names.map((name, i) => {
      const data = path.join(directory, name);
      mkdirSync(data, { recursive: true });
      const [client, peer] = [url(ports[i]!), url(ports[MEMBERS + i]!)];
      const args = [
        ...['--name', name, '--data-dir', path.join(data, 'data'), '--log-level', 'error'],
        ...['--listen-client-urls', client, '--advertise-client-urls', client],
        ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
        ...['--initial-cluster', all, '--initial-cluster-state', 'new'],
        ...['--quota-backend-bytes', String(8 * 2 ** 30)],
        ...flags,
      ];
      return new EtcdMember(ports[i]!, () => new PeerProcess(program, args, data));
    });
    await Promise.all(members.map((member) => member.start()));
    return new EtcdCluster(members);
  }

  get addresses(): string[] {
    return this.members.map(({ address }) => address);
  }

  get pids(): number[] {
    return this.members.map(({ pid }) => pid).filter((pid) => pid > 0);
  }

  /** Waits until a member leads and says so. */
  leader(): Promise<EtcdMember> {
    const leading = async (): Promise<EtcdMember | undefined> => {
      for (const member of this.members) {
        const status = await call(member.address, 'maintenance/status', {}, STATUS_TIMEOUT_MS);
        const { header, leader } = (status ?? {}) as { header?: { member_id?: string }; leader?: string };
        if (leader !== undefined && leader === header?.member_id) return member;
      }
      return undefined;
    };
    return until(leading, LEADER_TIMEOUT_MS, 'etcd has no leader');
  }

  /** How far a member has applied the log; -1 if it does not answer. */
  async appliedIndex(member: EtcdMember): Promise<number> {
    const status = await call(member.address, 'maintenance/status', {}, STATUS_TIMEOUT_MS);
    return Number((status as { raftAppliedIndex?: string } | null)?.raftAppliedIndex ?? -1);
  }

  /** Puts a value, trying member after member until one has acknowledged it. `avoided` is not asked. */
  async put(key: string, value: Uint8Array, avoided: EtcdMember | null, timeoutMs: number): Promise<void> {
    const asked = this.members.filter((member) => member !== avoided);
    const body = { key: base64(Buffer.from(key)), value: base64(value) };
    await firstAnswer(asked, 'kv/put', body, timeoutMs, timeoutMs);
  }

  /** Whether there is such a key, by a linearizable read; members are asked until one answers. */
  async has(key: string, timeoutMs: number): Promise<boolean> {
    const body = { key: base64(Buffer.from(key)) };
    const answer = await firstAnswer(this.members, 'kv/range', body, timeoutMs, READ_TIMEOUT_MS);
    return (answer as { count?: string }).count === '1';
  }

  async kill(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
  }
}

/** Asks member after member until one answers. */
function firstAnswer(
  members: readonly EtcdMember[],
  what: string,
  body: object,
  timeoutMs: number,
  callTimeoutMs: number,
): Promise<object> {
  let asked = 0;
  const ask = async (): Promise<object | undefined> =>
    (await call(members[asked++ % members.length]!.address, what, body, callTimeoutMs)) ?? undefined;
  return until(ask, timeoutMs, `etcd did not answer ${what} in time`, RETRY_MS);
}

/** Null: no answer, or an error. */
async function call(address: string, what: string, body: object, timeoutMs: number): Promise<object | null> {
  try {
    const response = await fetch(`http://${address}/v3/${what}`, {
      method: 'POST',
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutMs),
    });
    const answer = (await response.json()) as object;
    return response.ok ? answer : null;
  } catch {
    return null;
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
