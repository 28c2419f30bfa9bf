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
  readonly localReads: Lane;
}

/** The ways calls go, made once: a call costs no more than its promise. */
export class Routes {
  readonly openSession: Route;
  readonly keepAlive: Route;
  readonly command: Route;
  readonly keyedCommand: Route;
  readonly status: Route;
  /** Those that may be asked again, whatever became of the first time, and those that may not. */
  readonly admin: Route;
  readonly adminOnce: Route;
  readonly #queries: ReadonlyMap<ReadLevel, Route>;

  /** `session`: whether commands have one, and so may be sent again. */
  constructor({ control, writes, reads, localReads }: Lanes, session: boolean) {
    this.openSession = route(control, Kind.openSession);
    this.keepAlive = route(control, Kind.keepAlive);
    this.command = { ...route(writes, Kind.command), retry: session ? Retry.always : Retry.never };
    this.keyedCommand = route(writes, Kind.keyedCommand);
    this.status = route(localReads, Kind.status);
    this.admin = route(reads, Kind.admin);
    this.adminOnce = { ...this.admin, retry: Retry.never };
    const query = (level: ReadLevel): [ReadLevel, Route] => {
      // Any node answers these.
      const lane = level >= ReadLevel.bounded ? localReads : reads;
      return [level, { ...route(lane, Kind.query), flags: level }];
    };
    this.#queries = new Map(Object.values(ReadLevel).map(query));
  }

  query(level: ReadLevel): Route {
    return this.#queries.get(level)!;
  }
}

function route(lane: Lane, kind: Kind): Route {
  return { lane, kind, flags: 0, retry: Retry.always };
}
