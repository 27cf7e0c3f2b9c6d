/** Measurements of several rounds, and the rows of a table that sets them beside each other. */
import { median } from "../table.ts";
import type { Measure } from "./load.ts";

export class Results {
  readonly #measures = new Map<string, Measure[]>();

  add(what: string, side: string, measure: Measure): void {
    const key = keyOf(what, side);
    this.#measures.set(key, [...(this.#measures.get(key) ?? []), measure]);
  }

  /** Medians, each figure for itself. */
  of(what: string, side: string): Measure {
    const measures = this.#measures.get(keyOf(what, side)) ?? [];
    const of = (figure: (measure: Measure) => number) => median(measures.map(figure));
    return {
      answers: of((each) => each.answers),
      perSecond: of((each) => each.perSecond),
      p50Ms: of((each) => each.p50Ms),
      p99Ms: of((each) => each.p99Ms),
    };
  }

  /** A row of `comparisonHeader`. `against`: what etcd's column shows, where that has another name. */
  row(what: string, aim: string, against = what): string[] {
    const ours = this.of(what, "Trivet");
    const theirs = this.of(against, "etcd");
    return [
      what,
      ours.perSecond.toFixed(0),
      theirs.perSecond.toFixed(0),
      (ours.perSecond / theirs.perSecond).toFixed(2),
      `${ours.p50Ms.toFixed(2)} / ${theirs.p50Ms.toFixed(2)}`,
      `${ours.p99Ms.toFixed(2)} / ${theirs.p99Ms.toFixed(2)}`,
      aim,
    ];
  }
}

export const comparisonHeader = [
  "what",
  "Trivet per second",
  "etcd per second",
  "rate vs etcd",
  "p50 ms, Trivet / etcd",
  "p99 ms, Trivet / etcd",
  "aim",
];

function keyOf(what: string, side: string): string {
  return `${side} ${what}`;
}
