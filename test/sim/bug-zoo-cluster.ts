import type { Bug } from './bug-zoo.ts';

/**
 * Bugs outside of the core (or of what only whole nodes do with it), found by the simulator of whole nodes. `file` is in
 * lib/, without its ending.
 */
export const clusterZoo: readonly Bug[] = [
  {
    name: 'a write is acknowledged before it is synced',
    seenIn: 'ra 39490978; Redis, PostgreSQL (ATC 2020)',
    file: 'log/log-engine',
    change: [
      [
        'sync() {\n        this.#run(() => {\n            this.#writer.datasync();\n            this.#record.synced(',
        'sync() {\n        this.#run(() => {\n            this.#record.synced(',
      ],
    ],
    within: 30,
  },
  {
    name: 'a retried command runs again',
    seenIn: 'ra #145; dissertation 6.3',
    file: 'machine/session',
    change: [['if (this.#slots[slot + 2] !== 0)', 'if (false)']],
    within: 60,
  },
  {
    name: 'a node with a damaged log votes',
    seenIn: 'NuRaft #185; Protocol-Aware Recovery (FAST 2018)',
    file: 'core/election',
    change: [['!hasLost(s) && (', '(']],
    within: 1000,
  },
  {
    name: 'entries are not replayed where a later block of the segment is damaged, and nobody is told',
    seenIn: 'etcd #5230; NATS 2.12.1 (Jepsen)',
    file: 'log/open-log-files',
    change: [['recovered.damage ?? judgeSnapshots(engine, snapshots) ?? judgeLength(engine, votes)', 'null']],
    within: 200,
  },
];
