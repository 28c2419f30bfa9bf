import path from 'node:path';
import { ChildNode } from './child-node.ts';
import type { LocalNode } from './layout.ts';
import type { ControlReply, ControlRequest, NodeReport } from './messages.ts';

export interface LocalClusterOptions {
  readonly nodes: readonly LocalNode[];
  readonly dataDir: string;
  /** Program and first arguments of a node: this command itself. */
  readonly program: readonly string[];
  /** Arguments every node gets besides its own. */
  readonly nodeArgs: readonly string[];
  /** How commands to this cluster are given, for the news: `SELF start 3 OPTIONS`. */
  readonly self: string;
  readonly selfOptions: string;
  /** News for whoever watches: one line each. */
  readonly say: (line: string) => void;
}

/** Followers hear of a new leader within a round trip; one that does not has something wrong with it. */
const FOLLOWERS_WAIT_MS = 2_000;

/** A cluster on this machine: one process for each node, all of them children of this one. */
export class LocalCluster {
  readonly #nodes: Map<number, ChildNode>;
  readonly #say: (line: string) => void;
  readonly #self: string;
  readonly #selfOptions: string;
  #leader: number | null = null;
  #term = 0;
  #ending = false;
  #down: Promise<void> | null = null;
  #onDown: () => void = () => {};
  /** The leader that each node that runs knows. */
  readonly #known = new Map<number, number | null>();
  #onNews: () => void = () => {};
  /** Resolves when `down` was asked for from elsewhere and has been done. */
  readonly ended: Promise<void>;

  constructor(options: LocalClusterOptions) {
    this.#say = options.say;
    this.#self = options.self;
    this.#selfOptions = options.selfOptions;
    this.ended = new Promise((resolve) => (this.#onDown = resolve));
    const peers = options.nodes.map((node) => `http://${node.peerAddress}`).join(',');
    const events = {
      onLeader: (node: ChildNode, leader: number | null, term: number) => {
        this.#known.set(node.place.id, leader);
        this.#onLeader(leader, term);
        this.#onNews();
      },
      onDeath: (node: ChildNode) => this.#onDeath(node),
    };
    this.#nodes = new Map(
      options.nodes.map((place) => {
        const dataDir = path.join(options.dataDir, String(place.id));
        const own = [
          '--id',
          String(place.id),
          '--cluster',
          peers,
          '--port',
          String(place.clientPort),
          '--data',
          dataDir,
        ];
        const command = [...options.program, ...own, ...options.nodeArgs];
        return [
          place.id,
          new ChildNode({ place, command, logFile: path.join(options.dataDir, `${place.id}.log`) }, events),
        ];
      }),
    );
  }

  /** Starts every node. Rejects, with none left running, if one of them cannot start. */
  async up(): Promise<void> {
    // Also a start that throws leaves the others to be stopped: async makes a rejection of it.
    const results = await Promise.allSettled([...this.#nodes.values()].map(async (node) => node.start()));
    const failed = results.find((result) => result.status === 'rejected');
    // A node that was told to stop before it served has not failed.
    if (failed === undefined || this.#ending) return;
    await this.down();
    throw failed.reason;
  }

  /**
   * Resolves to whether there is a leader: once every node that runs follows it, or when not all do so soon after
   * the first, or when the time is up. Null: the cluster goes down, and nobody need wait for one.
   */
  leaderKnown(withinMs: number): Promise<boolean | null> {
    return new Promise((resolve) => {
      const settle = (): void => {
        clearTimeout(timer);
        this.#onNews = () => {};
        resolve(this.#ending ? null : this.#leader !== null);
      };
      let timer = setTimeout(settle, withinMs);
      let first = true;
      this.#onNews = () => {
        if (this.#ending) {
          settle();
          return;
        }
        if (this.#leader === null) return;
        const running = [...this.#nodes.values()].filter((node) => node.running);
        if (running.every((node) => this.#known.get(node.place.id) === this.#leader)) settle();
        else if (first) {
          first = false;
          clearTimeout(timer);
          timer = setTimeout(settle, FOLLOWERS_WAIT_MS);
        }
      };
      this.#onNews();
    });
  }

  reports(): Promise<NodeReport[]> {
    return Promise.all([...this.#nodes.values()].map((node) => node.report()));
  }

  /** Stops every node. Nobody is left to take over the leadership, so none is handed over. */
  down(): Promise<void> {
    this.#end();
    this.#down ??= Promise.all([...this.#nodes.values()].map((node) => node.stop(false))).then(() =>
      this.#onDown(),
    );
    return this.#down;
  }

  /** Ends every node where it stands. */
  kill(): void {
    this.#end();
    for (const node of this.#nodes.values()) node.kill();
  }

  #end(): void {
    this.#ending = true;
    this.#onNews();
  }

  /** Carries out a command from another terminal. */
  async handle(request: ControlRequest): Promise<ControlReply> {
    switch (request.command) {
      case 'status':
        return { ok: true, message: '', nodes: await this.reports() };
      case 'down':
        await this.down();
        return { ok: true, message: 'all nodes are stopped' };
      case 'stop':
      case 'start':
      case 'restart': {
        const node = this.#nodes.get(request.id ?? 0);
        if (node === undefined)
          return refuse(`there is no node ${request.id}: nodes are 1 to ${this.#nodes.size}`);
        if (this.#ending) return refuse('the cluster is going down');
        return this.#change(node, request.command);
      }
      default:
        return refuse('unknown command');
    }
  }

  async #change(node: ChildNode, command: 'stop' | 'start' | 'restart'): Promise<ControlReply> {
    const { id } = node.place;
    if (command === 'start' && node.running) return refuse(`node ${id} runs already (pid ${node.pid})`);
    if (command === 'stop' && !node.running) return refuse(`node ${id} is down already`);
    if (command !== 'start' && node.running) {
      await node.stop(true);
      this.#say(`node ${id} is stopped`);
    }
    if (command === 'stop') return { ok: true, message: `node ${id} is stopped` };
    // Nobody would stop it any more, and with a child this process does not end.
    if (this.#ending) return refuse('the cluster is going down');
    await node.start();
    this.#say(`node ${id} is up (pid ${node.pid})`);
    return { ok: true, message: `node ${id} is up (pid ${node.pid})` };
  }

  #onLeader(leader: number | null, term: number): void {
    if (term < this.#term || leader === null) return;
    const changed = leader !== this.#leader || term !== this.#term;
    this.#leader = leader;
    this.#term = term;
    if (changed && !this.#ending) this.#say(`node ${leader} leads (term ${term})`);
  }

  #onDeath(node: ChildNode): void {
    const { id } = node.place;
    this.#known.delete(id);
    if (this.#ending) return;
    this.#say(
      `node ${id} is down: ${node.note}. Start it again with: ${this.#self} start ${id}${this.#selfOptions}`,
    );
  }
}

function refuse(message: string): ControlReply {
  return { ok: false, message };
}
