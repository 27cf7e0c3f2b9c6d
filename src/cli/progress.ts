/** Progress of a long command: one line per step on standard error, with how long it took. */

export class Progress {
  readonly #write: (text: string) => void;
  readonly #nowMs: () => number;

  constructor(write: (text: string) => void, nowMs: () => number) {
    this.#write = write;
    this.#nowMs = nowMs;
  }

  /** Runs one step. `work` returns what to say of its outcome ("installed", "already there"). */
  async step(
    title: string,
    work: (report: (detail: string) => void) => Promise<string> | string,
  ): Promise<void> {
    const startMs = this.#nowMs();
    this.#write(`  ${title} ...`);
    let reported = false;
    const report = (detail: string): void => {
      this.#write(`${reported ? "" : "\n"}      ${detail}\n`);
      reported = true;
    };
    try {
      const outcome = await work(report);
      const seconds = ((this.#nowMs() - startMs) / 1000).toFixed(1);
      this.#write(reported ? `  ${title}: ${outcome} (${seconds} s)\n` : ` ${outcome} (${seconds} s)\n`);
    } catch (error) {
      this.#write(reported ? "" : " failed\n");
      throw error;
    }
  }

  line(text: string): void {
    this.#write(`${text}\n`);
  }
}
