import { SingleBar } from 'cli-progress';

const STEP_MS = 200;

/** A line on stderr that shows how far a benchmark is; nothing where nobody watches. */
export class Progress {
  readonly #bar: SingleBar | null;
  #timer: NodeJS.Timeout | null = null;
  #doneS = 0;

  /** `totalS`: how long all steps take, about. */
  constructor(totalS: number) {
    if (!process.stderr.isTTY) {
      this.#bar = null;
      return;
    }
    this.#bar = new SingleBar({
      format: '{bar} {percentage} %  {step}',
      stream: process.stderr,
      barsize: 24,
      hideCursor: true,
      clearOnComplete: true,
    });
    this.#bar.start(totalS, 0, { step: '' });
  }

  /** A step of about `seconds` begins. */
  step(name: string, seconds: number): void {
    const bar = this.#bar;
    if (bar === null) return;
    if (this.#timer !== null) clearInterval(this.#timer);
    const beganS = this.#doneS;
    this.#doneS += seconds;
    const startedMs = performance.now();
    bar.update(beganS, { step: name });
    this.#timer = setInterval(() => {
      bar.update(Math.min(this.#doneS, beganS + (performance.now() - startedMs) / 1000));
    }, STEP_MS);
    this.#timer.unref();
  }

  /** A line for the reader, above the bar. */
  say(line: string): void {
    if (this.#bar === null) process.stderr.write(`${line}\n`);
    else process.stderr.write(`\r\x1b[K${line}\n`);
  }

  end(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#bar?.stop();
  }
}
