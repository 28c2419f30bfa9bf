import { encodeResponse, frameKind, frameRequestId } from '../../protocol/client-codec.ts';
import { Kind, Status } from '../../protocol/constants.ts';
import { encodeValue } from '../../protocol/msgpack.ts';
import type { Admin } from './admin.ts';
import { IN_QUARANTINE } from './admission.ts';
import type { Driver } from './driver.ts';
import type { Sink } from './sink.ts';
import type { NodeStatus } from './types.ts';

export const STOPPING = 'the node is stopping';

/** What a client's frames are answered with besides what the driver knows. */
export interface ClientRequestsParts {
  readonly driver: Driver;
  readonly admin: Admin;
  readonly status: () => NodeStatus;
}

/** Brings clients' frames to whoever serves them: commands to admission, reads to their levels, questions to the node. */
export class ClientRequests {
  readonly #driver: Driver;
  readonly #admin: Admin;
  readonly #status: () => NodeStatus;
  #closing = false;

  constructor({ driver, admin, status }: ClientRequestsParts) {
    this.#driver = driver;
    this.#admin = admin;
    this.#status = status;
  }

  /** From now on reads are refused. Commands are once leadership is given away, or the driver has stopped. */
  close(): void {
    this.#closing = true;
  }

  submit(bytes: Uint8Array, start: number, end: number, sink: Sink): void {
    const driver = this.#driver;
    driver.admission.submit(bytes, start, end, sink);
    // No turn follows that would pass the refusal on.
    if (driver.stopped) driver.replies.flush();
  }

  query(bytes: Uint8Array, start: number, end: number, sink: Sink): void {
    const driver = this.#driver;
    const requestId = frameRequestId(bytes, start);
    switch (frameKind(bytes, start)) {
      case Kind.ping:
        encodeResponse(sink.out, requestId, Status.ok);
        driver.replies.touch(sink);
        break;
      case Kind.status:
        encodeResponse(sink.out, requestId, Status.ok, encodeValue(this.#status()));
        driver.replies.touch(sink);
        break;
      case Kind.admin:
        this.#admin.take(bytes, start, end, sink);
        break;
      default:
        if (this.#closing) {
          driver.replies.refuseRun(bytes, start, end, sink, Status.shuttingDown, STOPPING);
        } else if (driver.core.quarantined) {
          driver.replies.refuseRun(bytes, start, end, sink, Status.noLeader, IN_QUARANTINE);
        } else if (driver.levels.tryServe(bytes, start, end, sink)) {
          driver.replies.touch(sink);
        } else {
          driver.reads.add(bytes, start, end, sink, driver.now);
        }
    }
    driver.wake();
    if (this.#closing) driver.replies.flush();
  }

  detach(sink: Sink): void {
    const driver = this.#driver;
    driver.pipeline.detach(sink);
    driver.forwarder.detach(sink);
    driver.reads.detach(sink);
    this.#admin.relay.detach(sink);
    driver.replies.forget(sink);
    // What it waited for may be what kept others from being read.
    if (driver.admission.awaited) driver.wake();
  }
}
