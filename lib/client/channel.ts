/**
 * A way to a node that carries frames in order, both ways: a TCP connection, or a node in the same process. It opens
 * the way as its kind demands (TCP: with the preamble); what comes back begins with a welcome frame. What the
 * frames mean is none of its business.
 */
export interface Channel {
  /** Starts to connect; ends in `onOpen` or `onClose`. Called once, before anything else. */
  open(events: ChannelEvents): void;
  /**
   * Queues bytes. They must not change as long as `bufferedBytes` is above 0 and the channel is not closed.
   * Ignored once the channel is closed.
   */
  write(bytes: Uint8Array): void;
  /** Hands over what was queued since the last flush, as one write. */
  flush(): void;
  /** Bytes written that have not left this process yet. */
  readonly bufferedBytes: number;
  /** Stops and resumes `onData`. */
  pause(): void;
  resume(): void;
  /**
   * Ends the channel; nothing is called after it. What was flushed is still delivered if it can be without
   * waiting for the other side.
   */
  close(): void;
}

export interface ChannelEvents {
  onOpen(): void;
  /** Bytes of the other side; valid only during the call. */
  onData(chunk: Uint8Array): void;
  /** `bufferedBytes` was above `HIGH_WATER_BYTES` and is 0 now. */
  onDrain(): void;
  /** The channel has ended; nothing is called after it. */
  onClose(error: Error | undefined): void;
}

/** Above this many buffered bytes a sender waits for `onDrain`. */
export const HIGH_WATER_BYTES: number = 1 << 20;
