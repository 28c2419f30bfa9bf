import { SingleBar } from 'cli-progress';
import type { RecoveryProgress } from '../../lib/log/recovery-progress.ts';
import type { Logger } from '../../lib/node/types.ts';

/** What takes no longer is not worth a word. */
const PATIENCE_MS = 1_000;
/** Between two lines where there is no terminal. */
const LINE_MS = 10_000;
const MIB = 1 << 20;

/** Shows how far a node has read its directory: a bar on a terminal, a line now and then in a log. */
export class RecoveryBar {
  readonly #logger: Pick<Logger, 'info'>;
  readonly #stream: NodeJS.WriteStream;
  #bar: SingleBar | null = null;
  #nextMs: number = performance.now() + PATIENCE_MS;

  constructor(logger: Pick<Logger, 'info'>, stream: NodeJS.WriteStream = process.stderr) {
    this.#logger = logger;
    this.#stream = stream;
  }

  update({ doneBytes, totalBytes }: RecoveryProgress): void {
    const [done, total] = [Math.floor(doneBytes / MIB), Math.ceil(totalBytes / MIB)];
    if (this.#bar !== null) this.#bar.update(done);
    if (performance.now() < this.#nextMs) return;
    this.#nextMs += LINE_MS;
    if (this.#stream.isTTY) {
      this.#bar ??= this.#begin(total, done);
    } else {
      const text = `reading the data directory: ${done} of ${total} MiB`;
      this.#logger.info({ percent: total === 0 ? 100 : Math.floor((100 * done) / total) }, text);
    }
  }

  /** Leaves the line to whatever comes next. Idempotent. */
  end(): void {
    this.#bar?.stop();
    this.#bar = null;
    this.#nextMs = Infinity;
  }

  #begin(total: number, done: number): SingleBar {
    const bar = new SingleBar({
      format: 'reading the data directory [{bar}] {percentage} %, {value} of {total} MiB',
      barsize: 30,
      stream: this.#stream,
      clearOnComplete: true,
      stopOnComplete: false,
      hideCursor: true,
    });
    bar.start(total, done);
    return bar;
  }
}
