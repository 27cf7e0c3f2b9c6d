/**
 * Strict serializability with the revisions as witnesses: the log of changes says what each revision did, so
 * every answer can be checked on its own, across keys. It complements `linearizability.ts`, which believes
 * nobody's revisions but looks at one key at a time.
 */

import type {
  Compare,
  KeyValue,
  Operation,
  RangeRequest,
  RangeResult,
  Transaction,
  TransactionResult,
  WatchEvent,
} from "#base/backend.ts";
import { inKeyRange } from "#base/key-range.ts";
import { Violation } from "./violation.ts";

export type Observation = { callAt: number; returnAt: number } & (
  | { type: "range"; request: RangeRequest; result: RangeResult }
  | { type: "transact"; transaction: Transaction; result: TransactionResult }
);

type State = Map<string, KeyValue>;

/** What there was at this revision, by key. `events` are those of each revision. */
export function stateAt(events: ReadonlyMap<number, WatchEvent[]>, revision: number): State {
  const state: State = new Map();
  for (let at = 1; at <= revision; at++) for (const change of events.get(at) ?? []) apply(state, change);
  return state;
}

/** Throws Violation. `events` are those of each revision; `refused` are values whose writes were said not to have taken place. */
export function checkObservations(
  observations: readonly Observation[],
  events: ReadonlyMap<number, WatchEvent[]>,
  refused: ReadonlySet<string>,
): void {
  checkOrder(observations);
  checkWrites(events, refused);
  checkAnswers(observations, events);
}

/** Who begins after another has got his answer sees at least as much; who writes then, writes later. */
function checkOrder(observations: readonly Observation[]): void {
  const byReturn = observations.filter(isLinearizable).toSorted((a, b) => a.returnAt - b.returnAt);
  let floor = 0;
  let next = 0;
  for (const each of byReturn.toSorted((a, b) => a.callAt - b.callAt)) {
    for (let before = byReturn[next]; before !== undefined && before.returnAt < each.callAt;) {
      floor = Math.max(floor, before.result.revision);
      before = byReturn[++next];
    }
    const { revision } = each.result;
    if (revision < floor || (revision === floor && hasWritten(each))) {
      throw new Violation(`revision ${floor} was answered before a ${each.type} began that got ${revision}`);
    }
  }
}

/** Values are unique: none may be written twice, and none that was refused. */
function checkWrites(events: ReadonlyMap<number, WatchEvent[]>, refused: ReadonlySet<string>): void {
  const written = new Set<string>();
  for (const [revision, changes] of events) {
    for (const { type, kv } of changes) {
      if (type === "delete") continue;
      const value = `${kv.key} ${text(kv.value)}`;
      if (written.has(value))
        throw new Violation(`revision ${revision} repeats a write: ${value.slice(0, 40)}`);
      written.add(value);
      if (refused.has(value)) throw new Violation(`revision ${revision} is a write that was refused`);
    }
  }
}

function checkAnswers(observations: readonly Observation[], events: ReadonlyMap<number, WatchEvent[]>): void {
  const state: State = new Map();
  const byRevision = Map.groupBy(observations, (each) =>
    each.type === "range" ? (each.request.revision ?? each.result.revision) : each.result.revision,
  );
  const last = Math.max(1, ...events.keys(), ...byRevision.keys());
  for (let revision = 1; revision <= last; revision++) {
    const now = byRevision.get(revision) ?? [];
    const changes = events.get(revision) ?? [];
    for (const each of now) if (hasWritten(each)) checkTransaction(each, state, changes);
    for (const change of changes) apply(state, change);
    for (const each of now) {
      if (each.type === "range") checkRange(each.request, each.result, state, revision);
      else if (!hasWritten(each)) checkTransaction(each, state, []);
    }
  }
}

function checkTransaction(each: Observation, before: State, changes: readonly WatchEvent[]): void {
  if (each.type !== "transact") return;
  const { transaction, result } = each;
  const holds = transaction.compare.every((compare) => matches(compare, before.get(compare.key)));
  if (holds !== result.succeeded) {
    throw new Violation(`a transaction at revision ${result.revision} compared with something else`);
  }
  const operations = holds ? transaction.success : transaction.failure;
  const expected = operations.flatMap((operation) => effectOf(operation, before));
  const found = changes.map(({ type, kv }) => `${type} ${kv.key} ${text(kv.value)}`);
  if (expected.join("; ") !== found.join("; ")) {
    throw new Violation(`revision ${result.revision} is not what was acknowledged as such`);
  }
}

function checkRange(request: RangeRequest, result: RangeResult, state: State, revision: number): void {
  const expected = [...state.values()]
    .filter(({ key }) => inKeyRange(key, request.key, request.end))
    .toSorted((a, b) => (a.key < b.key ? -1 : 1));
  if (show(expected) !== show(result.kvs)) {
    throw new Violation(`a read of ${request.key} at revision ${revision} got something else than there was`);
  }
}

function matches(compare: Compare, kv: KeyValue | undefined): boolean {
  if (compare.target === "value") return kv !== undefined && text(kv.value) === text(compare.value);
  if (compare.target === "version") return (kv?.version ?? 0) === compare.number;
  if (compare.target === "mod") return (kv?.modRevision ?? 0) === compare.number;
  throw new Error(`clients of the simulation do not compare by ${compare.target}`);
}

function effectOf(operation: Operation, before: State): string[] {
  if (operation.type === "put") return [`put ${operation.key} ${text(operation.value)}`];
  if (operation.type === "delete" && before.has(operation.key)) return [`delete ${operation.key} `];
  return [];
}

function apply(state: State, { type, kv }: WatchEvent): void {
  if (type === "delete") state.delete(kv.key);
  else state.set(kv.key, kv);
}

function hasWritten(each: Observation): boolean {
  if (each.type === "range") return false;
  return each.result.results.some(
    (result) => result.type === "put" || (result.type === "delete" && result.deleted > 0),
  );
}

function isLinearizable(each: Observation): boolean {
  return each.type === "transact" || each.request.serializable !== true;
}

function show(kvs: readonly KeyValue[]): string {
  return kvs
    .map((kv) => `${kv.key} ${kv.createRevision} ${kv.modRevision} ${kv.version} ${text(kv.value)}`)
    .join("; ");
}

function text(value: Uint8Array): string {
  return Buffer.from(value).toString("latin1");
}
