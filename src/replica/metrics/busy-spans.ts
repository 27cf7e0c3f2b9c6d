/** When this replica was busy with what, for as long as a slow request may want to know. Pure. */

/** What can hold a request up on this node. */
export type Business =
  /** The log's file was being flushed. */
  | "flush"
  /** Entries were being applied to the state. */
  | "apply"
  /** The replica's thread could not run. */
  | "thread"
  /** No leader was known here. */
  | "no leader";

interface Span {
  business: Business;
  fromMs: number;
  toMs: number;
}

/** Shorter ones add up to nothing that anybody would look for. */
const shortestMs = 1;
const maxSpans = 512;

export class BusySpans {
  readonly #spans: Span[] = [];

  add(business: Business, fromMs: number, toMs: number): void {
    if (toMs - fromMs < shortestMs) return;
    this.#spans.push({ business, fromMs, toMs });
    if (this.#spans.length > maxSpans) this.#spans.splice(0, maxSpans / 2);
  }

  /** How much of the time between two moments went into it, in milliseconds. Spans of one kind don't overlap. */
  within(business: Business, fromMs: number, toMs: number): number {
    let sum = 0;
    for (const span of this.#spans) {
      if (span.business !== business) continue;
      sum += Math.max(0, Math.min(span.toMs, toMs) - Math.max(span.fromMs, fromMs));
    }
    return sum;
  }
}
