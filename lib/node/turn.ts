import { Lane } from '../../protocol/constants.ts';
import type { Effects } from '../core/effects.ts';
import type { Driver } from './driver.ts';
import type { Unserved } from './pending-reads.ts';
import type { Records } from './records.ts';
import type { Standing } from './standing.ts';
import { TurnTimer } from './turn-timer.ts';

/** Between two looks at clients that did not take their answers. */
const STALLED_READS_MS = 5;

/**
 * One turn of a node, in its order: the clock; what waits is proposed and asked; one drain of the core's effects, with
 * one write for each peer and one batch for the log thread; what is committed is applied and reads are served; every
 * sink that got answers is flushed once. What was ready in the sockets has been given to the core before: input comes
 * before timers.
 */
export class Turn {
  readonly #driver: Driver;
  readonly #records: Records;
  readonly #standing: Standing;
  readonly #timer: TurnTimer;
  #sweepDueMs = 0;

  constructor(driver: Driver, records: Records, standing: Standing) {
    this.#driver = driver;
    this.#records = records;
    this.#standing = standing;
    this.#timer = new TurnTimer(
      driver.options.runtime,
      (now) => {
        driver.core.clock(now);
        return this.#noticeStall(now);
      },
      () => {
        driver.wake();
      },
    );
  }

  run(): void {
    const driver = this.#driver;
    const { core, pipeline, replies, transport } = driver;
    const { now } = driver;
    this.#advanceClock(now);
    this.#askAndPropose(now);

    const effects = core.drain();
    this.#standing.followConfig();
    this.#records.layCreated(effects.created);
    // The followers' disks and ours work at the same time (dissertation 10.2.1), and theirs are further away.
    this.#send(effects, now);
    if (effects.persist !== null) {
      driver.health.persisting(effects.persist.ticket);
      this.#records.write(effects.persist, driver.log);
    }
    this.#settleReads(effects);
    for (const peer of effects.snapshots) driver.snapshots.send(peer);

    pipeline.proposals.committed(core.commitIndex, now);
    const unserved = this.#apply();
    this.#standing.followRole();
    driver.quarantine.turn(now);
    if (driver.reports.quarantineIsNews) driver.reports.send();
    if (now >= this.#sweepDueMs) this.#sweep(now);
    this.#releaseMemory();
    replies.flush();
    transport.flush();
    driver.admission.turn();
    driver.snapshots.maybeTake();
    if (driver.afterTurn.size > 0) for (const watcher of driver.afterTurn) watcher();
    // Commitment has made room in the pipeline after this turn's sealing.
    if (core.role === 'leader' && pipeline.isReady(now)) driver.wake();
    if (unserved === 'more') driver.wake();
    const readsDueMs = unserved === 'stalled' ? now + STALLED_READS_MS : Infinity;
    // Heartbeats, or the end of the patience with them, bring turns that sweep: none is due for that alone.
    driver.log.announce(core.awaitsDisk || driver.admission.awaited);
    this.#timer.arm(Math.min(effects.nextDeadlineMs, driver.health.wakeMs, readsDueMs));
  }

  /** No turn follows any more. */
  cancel(): void {
    this.#timer.cancel();
  }

  #advanceClock(now: number): void {
    const { core, health, space } = this.#driver;
    core.clock(now);
    this.#noticeStall(now);
    core.tick();
    if (now >= health.dueMs) health.check(now);
    space.turn(now);
  }

  #askAndPropose(now: number): void {
    const { core, pipeline, reads, levels } = this.#driver;
    if (core.role === 'leader') pipeline.propose(now);
    const token = reads.ask();
    if (token === 0) return;
    core.readIndex(token);
    levels.asked(token, now);
  }

  #send({ messages }: Effects, now: number): void {
    const { core, outbound, silence, transport } = this.#driver;
    for (const { to, message } of messages) {
      if (outbound.send(to, message)) silence.sent(to, message, now);
      else if (message.kind === 'readRequest') {
        // A leader may be heard before there is a way to it. Who asks then is told now, and not when patience ends.
        core.readLost(message.token);
        this.#driver.wake();
      }
    }
    transport.flush();
  }

  #settleReads(effects: Effects): void {
    const { reads, levels } = this.#driver;
    for (const read of effects.reads) {
      reads.confirmed(read.token, read.index);
      levels.confirmed(read.token, read.index);
    }
    for (const failed of effects.failedReads) {
      reads.failed(failed);
      levels.failed(failed);
    }
  }

  /** Applies what is committed, and answers the reads that waited for it. */
  #apply(): Unserved {
    const { core, applier, levels, reads, state } = this.#driver;
    if (core.installing) return 'nothing';
    applier.advance(core.commitIndex);
    levels.applied(applier.applied);
    return reads.serve(state, applier.applied);
  }

  /** Things that are nobody's event: answers that were lost on the way, transfers without progress. */
  #sweep(now: number): void {
    const { forwarder, levels, options, reads, reports, silence, snapshots } = this.#driver;
    const patienceMs = 5 * options.electionTimeoutMs;
    this.#sweepDueMs = now + options.electionTimeoutMs;
    forwarder.expire(now - patienceMs);
    reads.expire(now - patienceMs);
    levels.expire(now - patienceMs);
    snapshots.sweep(patienceMs);
    reports.tell(now);
    silence.check(now);
  }

  #releaseMemory(): void {
    const { applier, core, options, transport } = this.#driver;
    this.#records.evict(Math.min(applier.applied, core.durableIndex));
    for (const member of core.config.members) {
      if (member.id !== options.id && transport.queuedBytes(member.id, Lane.data) > 0) return;
    }
    this.#records.drained();
  }

  /**
   * The timer should have fired long ago: the process itself stood still. What the others said meanwhile waits in the
   * sockets and must be heard before an election is called, or leadership given up, over it.
   */
  #noticeStall(now: number): boolean {
    const { core, health, options, silence } = this.#driver;
    const lateMs = this.#timer.lateMs(now);
    if (lateMs <= options.heartbeatMs / 2) return false;
    core.stalled();
    health.stalled(lateMs);
    silence.stalled(lateMs);
    return true;
  }
}
