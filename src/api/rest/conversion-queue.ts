/**
 * What a watch delivers, kept in order while a webhook converts it. What arrives during one question is
 * asked about together in the next.
 */
import type { ConvertedEntries } from "../cache/converted-entries.ts";
import type { Entry } from "../cache/entry.ts";
import { unclassifiedError } from "../status.ts";

/** Deliveries that may wait for a slow webhook before the watch is given up. */
const waitingMax = 10_000;

export class ConversionQueue {
  readonly #converted: ConvertedEntries;
  readonly #onError: (error: unknown) => void;
  #waiting: { entries: readonly Entry[]; deliver: (entries: readonly Entry[]) => void }[] = [];
  #isWorking = false;

  /** After `onError` nothing is delivered any more. */
  constructor(converted: ConvertedEntries, onError: (error: unknown) => void) {
    this.#converted = converted;
    this.#onError = onError;
  }

  push(entries: readonly Entry[], deliver: (entries: readonly Entry[]) => void): void {
    this.#waiting.push({ entries, deliver });
    if (this.#waiting.length > waitingMax)
      this.#onError(unclassifiedError("the conversion webhook is slower than the changes of this watch"));
    else if (!this.#isWorking) void this.#work();
  }

  async #work(): Promise<void> {
    this.#isWorking = true;
    try {
      while (this.#waiting.length > 0) {
        const batch = this.#waiting.splice(0);
        const converted = await this.#converted.of(batch.flatMap((each) => each.entries));
        let at = 0;
        for (const { entries, deliver } of batch) {
          deliver(converted.slice(at, at + entries.length));
          at += entries.length;
        }
      }
      this.#isWorking = false;
    } catch (error) {
      // Stays "working": nothing that comes later may overtake what could not be converted.
      this.#waiting = [];
      this.#onError(error);
    }
  }
}
