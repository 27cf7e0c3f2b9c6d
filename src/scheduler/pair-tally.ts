/**
 * Sums over the nodes by topology pair (key "zone", value "a"): how many pods of a kind each zone or host has, whom
 * pods like or shun. Between two pods only a few nodes change, so a sum is kept and only their parts are
 * exchanged; a thousand nodes need not be looked at for every pod.
 */
import type { NodeInfo, Snapshot } from "./types.ts";

/** What one node adds: pairs and amounts. Must depend on the node and the question alone. */
export type Parts = readonly (readonly [key: string, value: string, amount: number])[];

interface Sum {
  amount: number;
  /** How many nodes have a part in it. */
  nodes: number;
}

/** Questions that are remembered; the longest unasked go first. */
const maxTallies = 256;

const noParts: Parts = [];

export class PairTally {
  #nodes: readonly NodeInfo[] = [];
  #parts: Parts[] = [];
  readonly #sums = new Map<string, Map<string, Sum>>();

  /** Brings the sums to these nodes. */
  update(nodes: readonly NodeInfo[], partsOf: (info: NodeInfo) => Parts): this {
    const before = this.#nodes;
    if (before === nodes) return this;
    for (let at = nodes.length; at < before.length; at++) this.#add(this.#parts[at]!, -1);
    this.#parts.length = nodes.length;
    for (let at = 0; at < nodes.length; at++) {
      const info = nodes[at]!;
      if (info === before[at]) continue;
      this.#add(this.#parts[at] ?? noParts, -1);
      const parts = partsOf(info);
      this.#parts[at] = parts.length === 0 ? noParts : parts;
      this.#add(parts, 1);
    }
    this.#nodes = nodes;
    return this;
  }

  /** The sum of a pair; 0 when no node has it. */
  of(key: string, value: string): number {
    return this.#sums.get(key)?.get(value)?.amount ?? 0;
  }

  /** Whether any node has a part in this pair, also one of 0. */
  has(key: string, value: string): boolean {
    return this.#sums.get(key)?.has(value) ?? false;
  }

  /** Whether it has one of these pairs. */
  hasAny(pairs: Readonly<Record<string, string>> | undefined): boolean {
    for (const [key, sums] of this.#sums) {
      const value = pairs?.[key];
      if (value !== undefined && sums.has(value)) return true;
    }
    return false;
  }

  /** All that it has of these pairs, together. */
  ofAll(pairs: Readonly<Record<string, string>> | undefined): number {
    let total = 0;
    for (const [key, sums] of this.#sums) {
      const value = pairs?.[key];
      if (value !== undefined) total += sums.get(value)?.amount ?? 0;
    }
    return total;
  }

  /** The number of values of a key. */
  count(key: string): number {
    return this.#sums.get(key)?.size ?? 0;
  }

  /** No node has a part in anything. */
  get isEmpty(): boolean {
    return this.#sums.size === 0;
  }

  /** The smallest sum of a key's values; 0 when there is none. */
  least(key: string): number {
    let least = Infinity;
    for (const { amount } of this.#sums.get(key)?.values() ?? []) if (amount < least) least = amount;
    return least === Infinity ? 0 : least;
  }

  #add(parts: Parts, sign: 1 | -1): void {
    for (const [key, value, amount] of parts) {
      let sums = this.#sums.get(key);
      if (sums === undefined) this.#sums.set(key, (sums = new Map()));
      const sum = sums.get(value);
      if (sum === undefined) {
        sums.set(value, { amount: sign * amount, nodes: sign });
        continue;
      }
      sum.amount += sign * amount;
      sum.nodes += sign;
      if (sum.nodes !== 0) continue;
      sums.delete(value);
      if (sums.size === 0) this.#sums.delete(key);
    }
  }
}

/**
 * The sums for the snapshot's nodes. Equal keys must be equal questions; undefined: a question whose answer
 * depends on more than nodes and pods, asked anew.
 */
export function tallyOf(
  snapshot: Snapshot,
  key: string | undefined,
  partsOf: (info: NodeInfo) => Parts,
): PairTally {
  if (key === undefined) return new PairTally().update(snapshot.nodes, partsOf);
  const { tallies } = snapshot;
  const tally = tallies.get(key) ?? new PairTally();
  tallies.delete(key);
  tallies.set(key, tally);
  if (tallies.size > maxTallies) {
    const [oldest] = tallies.keys();
    if (oldest !== undefined) tallies.delete(oldest);
  }
  return tally.update(snapshot.nodes, partsOf);
}
