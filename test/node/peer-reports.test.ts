import t from 'tap';
import type { Driver } from '../../lib/node/driver.ts';
import { PeerReports } from '../../lib/node/peer-reports.ts';

const TIMEOUT_MS = 1000;

/** As much of a driver of node 1 of three as reports need. `refuses`: peers whose queue is full. */
function reportsOf(connected: ReadonlySet<number>, refuses: ReadonlySet<number>) {
  const sent: number[] = [];
  const driver = {
    now: 0,
    connected,
    core: { quarantined: false, config: { members: [{ id: 1 }, { id: 2 }, { id: 3 }] } },
    options: { id: 1, electionTimeoutMs: TIMEOUT_MS },
    space: { freeBytes: 1 << 30, low: false },
    health: { unwell: false },
    transport: {
      send: (peer: number) => {
        if (refuses.has(peer) || !connected.has(peer)) return false;
        sent.push(peer);
        return true;
      },
    },
  };
  const reports = new PeerReports(driver as unknown as Driver, (error) => {
    throw error;
  });
  const look = (now: number) => {
    driver.now = now;
    reports.tell(now);
    return sent.splice(0);
  };
  return { look, driver, reports };
}

t.test('without news everyone is told once a minute, with news at once', async (t) => {
  const { look, driver } = reportsOf(new Set([2, 3]), new Set());
  t.same(look(0), [2, 3]);
  for (let now = TIMEOUT_MS; now < 60 * TIMEOUT_MS; now += TIMEOUT_MS) t.same(look(now), []);
  t.same(look(60 * TIMEOUT_MS), [2, 3]);
  driver.space.low = true;
  t.same(look(61 * TIMEOUT_MS), [2, 3]);
  driver.space.low = false;
  driver.space.freeBytes += 1 << 30;
  t.same(look(62 * TIMEOUT_MS), [2, 3]);
  t.same(look(63 * TIMEOUT_MS), []);
  driver.health.unwell = true;
  t.same(look(64 * TIMEOUT_MS), [2, 3]);
  t.same(look(65 * TIMEOUT_MS), []);
  driver.health.unwell = false;
  t.same(look(66 * TIMEOUT_MS), [2, 3]);
});

t.test('who has become a member meanwhile is told, though it connected as a stranger', async (t) => {
  const { look, driver } = reportsOf(new Set([2, 3]), new Set());
  driver.core.config = { members: [{ id: 1 }, { id: 2 }] };
  t.same(look(0), [2]);
  driver.core.config = { members: [{ id: 1 }, { id: 2 }, { id: 3 }] };
  t.same(look(TIMEOUT_MS), [2, 3]);
  t.same(look(2 * TIMEOUT_MS), []);
});

t.test(
  'a report that found no room in a queue is sent again; nobody waits for who is not there',
  async (t) => {
    const full = new Set([3]);
    const { look } = reportsOf(new Set([2, 3]), full);
    t.same(look(0), [2]);
    full.clear();
    t.same(look(TIMEOUT_MS), [2, 3]);
    t.same(look(2 * TIMEOUT_MS), []);

    const { look: lookAlone } = reportsOf(new Set([2]), new Set());
    t.same(lookAlone(0), [2]);
    t.same(lookAlone(TIMEOUT_MS), []);
  },
);

t.test('a quarantine is news at its beginning and at its end, and is told once', async (t) => {
  const { look, driver, reports } = reportsOf(new Set([2, 3]), new Set());
  look(0);
  for (const quarantined of [true, false]) {
    t.notOk(reports.quarantineIsNews);
    driver.core.quarantined = quarantined;
    t.ok(reports.quarantineIsNews);
    reports.send();
  }
  t.notOk(reports.quarantineIsNews);
});
