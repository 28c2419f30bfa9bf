import { Status } from '../../protocol/constants.ts';
import type { Config, NodeId, Role, Term } from '../core/types.ts';
import type { Driver, DriverEvents } from './driver.ts';
import { RemoteSink } from './forwarder.ts';

/** Where this node stood when it last looked. A change ends what was begun under the old role, leader or members. */
export class Standing {
  readonly #driver: Driver;
  readonly #events: DriverEvents;
  #role: Role = 'follower';
  #term: Term = 0;
  #leader: NodeId = 0;
  #config: Config;

  constructor(driver: Driver, events: DriverEvents) {
    this.#driver = driver;
    this.#events = events;
    this.#config = driver.core.config;
  }

  followRole(): void {
    const { admission, core, pipeline, forwarder, replies } = this.#driver;
    if (core.role === this.#role && core.term === this.#term && core.leader === this.#leader) return;
    const oldLeader = this.#leader;
    this.#role = core.role;
    this.#term = core.term;
    this.#leader = core.leader;
    if (core.role !== 'leader') {
      pipeline.abandon('leadership was lost before the entry was committed');
      this.#driver.outbound.clear();
      this.#driver.snapshots.stopSending();
      pipeline.reroute((bytes, start, end, sink) => {
        // A run of another node is not passed on a second time. The next leader's answers would come in several turns,
        // and the node it came from would forget the run with the first of them: the rest would run and never be answered.
        if (sink instanceof RemoteSink)
          replies.refuseRun(bytes, start, end, sink, Status.noLeader, 'another node leads now');
        else admission.submit(bytes, start, end, sink);
      });
    }
    if (oldLeader !== 0 && oldLeader !== core.leader) forwarder.lost(oldLeader);
    this.#events.changed();
  }

  followConfig(): void {
    const { config } = this.#driver.core;
    if (config === this.#config) return;
    this.#config = config;
    this.#events.reconfigured();
  }
}
