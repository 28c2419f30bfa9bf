/** A known bug, as a change of one line or a few in the compiled core. */
export interface Bug {
  readonly name: string;
  /** Who had it. */
  readonly seenIn: string;
  /** File of lib/core (in the zoo of whole nodes: of lib), without its ending. */
  readonly file: string;
  readonly change: readonly (readonly [from: string, to: string])[];
  /** Seeds within which it must be found. */
  readonly within: number;
  /** The first seed that is tried; default 1. */
  readonly from?: number;
}

/**
 * Bugs of Raft implementations, this one's own included. A simulator that has never caught anything proves nothing:
 * each of these must be found. (Bugs that need a rarer coincidence than a thousand seeds make have their golden story.)
 * A change whose text is not in the file any more fails the test, so that the zoo keeps up
 * with the code.
 */
export const zoo: readonly Bug[] = [
  {
    name: 'votes and vote requests leave before they are durable',
    seenIn: 'sofa-jraft #1241 and PR 1245',
    file: 'persistence',
    change: [['if (gate === 0 || isPreVote(o.message))', 'if (true)']],
    within: 30,
  },
  {
    name: 'a node votes twice in a term',
    seenIn: 'Xraft #33, daos-stack/raft PR 70',
    file: 'election',
    change: [
      ['const canVote = s.vote === from || (s.vote === 0 && s.leader === 0);', 'const canVote = true;'],
    ],
    within: 100,
  },
  {
    name: 'logs are compared by length alone',
    seenIn: 'openraft a48a3282',
    file: 'log-view',
    change: [
      [
        'return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.#lastIndex);',
        'return lastIndex >= this.#lastIndex;',
      ],
    ],
    within: 1000,
  },
  {
    name: 'entries of earlier terms are committed by counting',
    seenIn: 'PySyncObj #169, async-raft #106',
    file: 'commit',
    change: [['if (s.log.termAt(index) !== s.term)', 'if (false)']],
    within: 100,
  },
  {
    name: 'the leader counts itself before its own disk has the entry',
    seenIn: 'etcd #14370, canonical/raft 1996d32',
    file: 'commit',
    change: [['quorumIndex(s, s.durableIndex)', 'quorumIndex(s, s.log.lastIndex)']],
    within: 30,
  },
  {
    name: 'followers acknowledge what is not durable',
    seenIn: 'ra 39490978',
    file: 'replication',
    change: [['const match = Math.min(s.durableIndex, s.verifiedIndex);', 'const match = s.verifiedIndex;']],
    within: 30,
  },
  {
    name: 'a short append drops what stands behind it',
    seenIn: 'hashicorp 0f31a01, openraft 9540c904, raftos #26',
    file: 'replication',
    change: [
      [
        'const first = firstNew(s, m);',
        'const first = firstNew(s, m); if (first === 0 && m.last > s.commitIndex && m.last < log.lastIndex) log.truncateFrom(m.last + 1);',
      ],
    ],
    within: 30,
  },
  {
    name: 'a write that was overtaken by a truncation still counts (ABA)',
    seenIn: 'etcd-raft PR 8, raft-rs PR 417',
    file: 'persistence',
    change: [['p.lastIndex = Math.min(p.lastIndex, index - 1);', ';']],
    within: 1000,
  },
  {
    name: 'half of the voters are a majority',
    seenIn: 'openraft d60f1e85',
    file: 'quorum',
    change: [['return (count >>> 1) + 1;', 'return (count + 1) >>> 1;']],
    within: 100,
  },
  {
    name: 'only the new half of a joint configuration is asked',
    seenIn: 'openraft 6c0ccaf3',
    file: 'quorum',
    change: [
      [
        'return Math.min(majorityValue(config.voters, valueOf), majorityValue(config.outgoing, valueOf));',
        'return majorityValue(config.voters, valueOf);',
      ],
    ],
    within: 300,
  },
  {
    name: 'a configuration outlives its entry',
    seenIn: 'ra 82e5ca2f, bb04b866',
    file: 'replication',
    change: [['s.configs.truncateFrom(first);', ';']],
    within: 300,
  },
  {
    name: 'a snapshot keeps the configuration of the log it replaces',
    seenIn: 'NuRaft PR 566',
    file: 'snapshot',
    change: [['s.configs.reset({ index: meta.configIndex, config: meta.config });', ';']],
    within: 1000,
  },
  {
    name: 'reads are answered without asking anyone',
    seenIn: 'd-engine #381',
    file: 'reads',
    change: [['(s.progress.get(id)?.readSeq ?? 0)', 's.readRound']],
    within: 1000,
  },
  {
    name: 'reads are answered before the first commit of the term',
    seenIn: 'etcd #12680, raft-rs PR 1634, RedisRaft PR 22',
    file: 'reads',
    change: [['if (s.commitIndex < s.termStartIndex)', 'if (false)']],
    within: 300,
  },
  {
    name: 'acknowledged bytes are not given back to the window',
    seenIn: 'etcd PR 14633, etcd-raft e419ba5',
    file: 'progress',
    change: [['this.#freeThrough(match);', ';']],
    within: 100,
  },
  {
    name: 'a removed leader leads on',
    seenIn: 'etcd-raft 72d62a1, canonical/raft 7b500ab; here',
    file: 'transfer',
    change: [['return !s.isVoter && s.configs.currentIndex <= s.commitIndex', 'return false']],
    within: 300,
  },
  {
    name: 'a joint configuration whose leader died is never left',
    seenIn: 'here, before its first commit',
    file: 'commit',
    change: [['const configNews = termNews ||', 'const configNews =']],
    within: 300,
  },
  {
    name: 'a node that alone has the entry that removes it does not campaign',
    seenIn: 'here; dissertation 4.2.2',
    file: 'election',
    change: [['return currentIndex > s.commitIndex && isVoter(', 'return false && isVoter(']],
    within: 1000,
  },
  {
    name: 'an append asks behind an entry that is compacted away',
    seenIn: 'etcd-raft PR 31; here',
    file: 'replication',
    change: [['if (pr.next - 1 < s.log.prevIndex)\n        pr.becomeProbe(pr.match + 1);', 'if (false) ;']],
    within: 100,
  },
  {
    name: 'a leader elected and deposed in one turn leaves its no-op behind',
    seenIn: 'here',
    file: 'persistence',
    change: [['s.created.pop();', 'break;']],
    // One story in 1,400: candidates help no rivals any more, so that hardly anybody is deposed at once.
    from: 12_601,
    within: 1000,
  },
  {
    name: 'a lease outlives the promises it stands on',
    seenIn: 'sofa-jraft PR 34',
    file: 'lease',
    change: [['promise * (1 - CLOCK_DRIFT)', 'promise * 1.5']],
    within: 1000,
  },
  {
    name: 'a leader that has asked for a transfer keeps its lease',
    seenIn: 'dissertation 6.4.1',
    file: 'lease',
    change: [['if (s.transfer !== null || s.leaseVoid)', 'if (false)']],
    within: 1000,
  },
  {
    name: 'a node with a damaged log votes',
    seenIn: 'NuRaft #185; Protocol-Aware Recovery (FAST 2018)',
    file: 'election',
    change: [['!hasLost(s) && (', '(']],
    within: 1000,
  },
  {
    name: 'the commit index of a leader counts for entries that were not compared with its own',
    seenIn: 'PySyncObj #166, ra PR 508',
    file: 'replication',
    change: [['Math.min(m.commit, s.verifiedIndex)));', 'Math.min(m.commit, log.lastIndex)));']],
    within: 300,
  },
  {
    name: 'what was verified with a leader outlives a candidacy',
    seenIn: 'a mutation that survived here',
    file: 'election',
    change: [
      [
        's.hardStateDirty = true;\n    s.verifiedIndex = 0;\n    s.lastAckedMatch = 0;\n    s.votes.clear();',
        's.hardStateDirty = true;\n    s.lastAckedMatch = 0;\n    s.votes.clear();',
      ],
    ],
    within: 1000,
  },
  {
    name: 'the leader does not forget what a damaged node acknowledged',
    seenIn: 'here; Protocol-Aware Recovery (FAST 2018)',
    file: 'quarantine',
    change: [['pr.forget(m.nonce, s.log.lastIndex);', 'pr.lostNonce = m.nonce;']],
    within: 1000,
  },
];
