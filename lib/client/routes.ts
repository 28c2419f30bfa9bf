import { Kind, ReadLevel } from '../../protocol/constants.ts';
import { Retry } from './call.ts';
import type { Lane } from './lane.ts';

/** What all calls of one sort have in common. */
export interface Route {
  /** Where they wait until they are sent. */
  readonly lane: Lane;
  readonly kind: Kind;
  /** Of their frames; commands have none. */
  readonly flags: number;
  readonly retry: Retry;
}

/** The lanes of a sender. */
export interface Lanes {
  readonly control: Lane;
  readonly writes: Lane;
  readonly reads: Lane;
  readonly boundedReads: Lane;
  readonly localReads: Lane;
  readonly changes: Lane;
}

/** The ways calls go, made once: a call costs no more than its promise. */
export class Routes {
  readonly openSession: Route;
  readonly keepAlive: Route;
  readonly command: Route;
  readonly keyedCommand: Route;
  readonly status: Route;
  readonly adminQuestion: Route;
  /** Changes that may be asked for again, whatever became of the first time, and those that may not. */
  readonly adminChange: Route;
  readonly adminOnce: Route;
  readonly #queries: ReadonlyMap<ReadLevel, Route>;

  /** `session`: whether commands have one, and so may be sent again. */
  constructor(lanes: Lanes, session: boolean) {
    const { control, writes, reads, boundedReads, localReads, changes } = lanes;
    this.openSession = route(control, Kind.openSession);
    this.keepAlive = route(control, Kind.keepAlive);
    this.command = { ...route(writes, Kind.command), retry: session ? Retry.always : Retry.never };
    this.keyedCommand = route(writes, Kind.keyedCommand);
    this.status = route(localReads, Kind.status);
    this.adminQuestion = route(localReads, Kind.admin);
    this.adminChange = route(changes, Kind.admin);
    this.adminOnce = { ...this.adminChange, retry: Retry.never };
    const query = (level: ReadLevel, lane: Lane): [ReadLevel, Route] => [
      level,
      { ...route(lane, Kind.query), flags: level },
    ];
    this.#queries = new Map([
      query(ReadLevel.linearizable, reads),
      query(ReadLevel.lease, reads),
      query(ReadLevel.bounded, boundedReads),
      query(ReadLevel.local, localReads),
    ]);
  }

  query(level: ReadLevel): Route {
    return this.#queries.get(level)!;
  }
}

function route(lane: Lane, kind: Kind): Route {
  return { lane, kind, flags: 0, retry: Retry.always };
}
