import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { DiskCounters } from '../support/disk-counters.ts';
import { freePorts } from '../support/free-ports.ts';
import { type Absent, type Contestant, type LoadFigures, Meter } from './contestant.ts';
import { buildGo, canBuildGo } from './go-program.ts';

const NAME = 'hashicorp/raft';
const NODES = 3;
const LEADER_TIMEOUT_MS = 20_000;

/** Three processes that embed hashicorp/raft; the load is made inside the leader's. */
export async function startHashicorp(directory: string, disk: DiskCounters): Promise<Contestant | Absent> {
  if (!canBuildGo('github.com/hashicorp/raft', 'github.com/hashicorp/raft-boltdb')) {
    const packages = 'golang-go golang-github-hashicorp-raft-dev golang-github-hashicorp-raft-boltdb-dev';
    return { name: NAME, why: `it cannot be built (Debian: ${packages})` };
  }
  mkdirSync(directory, { recursive: true });
  const program = buildGo('hashicorp-load', directory);
  const ports = await freePorts(NODES);
  const addresses = ports.map((port) => `127.0.0.1:${port}`).join(',');
  const nodes = ports.map((_, id) => new HashicorpNode(program, id, addresses, directory));
  const leader = await firstLeader(nodes);
  const pids = nodes.map(({ pid }) => pid);
  return {
    name: NAME,
    terms: '3 nodes, BoltDB synced before each acknowledgement, a machine that only counts',
    measure: async (spec) => {
      if (spec.operation !== 'push') return null;
      const meter = new Meter(disk, pids);
      // The leader's process is the load's as well: what it uses is counted once, with the nodes.
      const figures = await leader.load(
        [spec.outstanding, spec.valueBytes, spec.warmS, spec.measureS].join(' '),
        meter,
      );
      return meter.point(NAME, spec, { ...figures, cpuMs: 0 });
    },
    stop: async () => {
      await Promise.all(nodes.map((node) => node.kill()));
    },
  };
}

class HashicorpNode {
  onLeads: () => void = () => undefined;
  readonly #child: ChildProcess;
  readonly #gone: Promise<void>;
  #onLine: (line: string) => void = () => undefined;

  constructor(program: string, id: number, addresses: string, directory: string) {
    const own = path.join(directory, `node-${id}`);
    mkdirSync(own, { recursive: true });
    const flags = [`-id=${id}`, `-addresses=${addresses}`, `-directory=${own}`];
    const child = spawn(program, flags, { stdio: ['pipe', 'pipe', 'inherit'] });
    const kill = (): void => void child.kill('SIGKILL');
    process.on('exit', kill);
    this.#child = child;
    this.#gone = new Promise((resolve) => {
      child.once('exit', () => {
        process.off('exit', kill);
        this.#onLine('');
        resolve();
      });
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line === 'leads') this.onLeads();
      else this.#onLine(line);
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  load(job: string, meter: Meter): Promise<LoadFigures> {
    return new Promise((resolve, reject) => {
      this.#onLine = (line) => {
        if (line === 'begin') meter.begin();
        else if (line === 'end') meter.end();
        else if (line === '') reject(new Error(`${NAME} ended without a result`));
        else resolve(JSON.parse(line) as LoadFigures);
      };
      this.#child.stdin!.write(`${job}\n`);
    });
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#gone;
  }
}

function firstLeader(nodes: readonly HashicorpNode[]): Promise<HashicorpNode> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${NAME} has no leader`)), LEADER_TIMEOUT_MS);
    for (const node of nodes) {
      node.onLeads = () => {
        clearTimeout(timer);
        resolve(node);
      };
    }
  });
}
