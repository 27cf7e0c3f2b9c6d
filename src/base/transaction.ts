/**
 * What a transaction means, once for every store: which branch runs, what each operation does, which
 * transactions are refused. It works on a `TransactionState` and knows nothing about how that keeps its
 * keys. Rules and error texts are those of etcd (server/etcdserver/txn, api/v3rpc/key.go).
 */

import { unreachable } from "#base/assert.ts";
import type {
  Compare,
  KeyValue,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResult,
  Transaction,
  TransactionResult,
} from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import { keyRangesOverlap } from "#base/key-range.ts";
import { leaseNotFoundError } from "#base/leases.ts";

/** At most this many operations in each list of a transaction (etcd's --max-txn-ops is 128 by default). */
export const maxTransactionOperations = 8192;

/** The state that a transaction reads and changes. Reads see the transaction's own earlier changes. */
export interface TransactionState {
  /** Revision before the transaction. */
  readonly revision: number;
  readonly compactRevision: number;
  /** `request.revision` undefined: newest, with this transaction's changes. `revision` of the result is set by the evaluator. */
  range(request: RangeRequest): RangeResult;
  hasLease(id: string): boolean;
  /** Returns what was there before. */
  put(key: string, value: Uint8Array, lease: string, revision: number): KeyValue | undefined;
  /** Returns what was there before, in key order. */
  delete(key: string, end: string | undefined, revision: number): KeyValue[];
}

/**
 * Runs the transaction. Either everything is done or an error is thrown before anything is changed.
 * `term`: the raft term in which it was committed, for `fenceTerm`.
 */
export function evaluateTransaction(
  transaction: Transaction,
  state: TransactionState,
  term: number,
): TransactionResult {
  checkFence(transaction.fenceTerm, term);
  const plan = choosePlan(transaction, state);
  checkPlan(plan, state);
  const run = new Run(state);
  return run.plan(plan);
}

/** `fenceTerm`: the term in which the writer led, if it has to lead still. */
export function checkFence(fenceTerm: number | undefined, term: number): void {
  if (fenceTerm === undefined || fenceTerm === term) return;
  throw new StatusError("Conflict", `fenced: the writer led in term ${fenceTerm}, but the term is ${term}`);
}

/** Throws when the transaction is refused whatever the state is: to be called before it is proposed. */
export function validateTransaction(transaction: Transaction): void {
  if (
    transaction.compare.length > maxTransactionOperations ||
    transaction.success.length > maxTransactionOperations ||
    transaction.failure.length > maxTransactionOperations
  ) {
    throw new StatusError("BadRequest", "etcdserver: too many operations in txn request");
  }
  for (const compare of transaction.compare) checkKey(compare.key, compare.end);
  checkOperations(transaction.success);
  checkOperations(transaction.failure);
}

/** Throws the errors for a range at a revision that is compacted or that is still to come. */
export function checkReadRevision(
  requested: number | undefined,
  revision: number,
  compactRevision: number,
): void {
  if (requested === undefined || requested === 0) return;
  if (requested > revision) throw futureRevisionError();
  if (requested < compactRevision) throw compactedError();
}

export function compactedError(): StatusError {
  return new StatusError("Expired", "etcdserver: mvcc: required revision has been compacted");
}

export function futureRevisionError(): StatusError {
  return new StatusError("BadRequest", "etcdserver: mvcc: required revision is a future revision");
}

/** A transaction whose comparisons are decided: only the chosen branch, nested ones decided likewise. */
interface Plan {
  succeeded: boolean;
  steps: (Exclude<Operation, { type: "txn" }> | { type: "plan"; plan: Plan })[];
}

/** All comparisons, nested ones too, are decided on the state before the transaction, as in etcd. */
function choosePlan(transaction: Transaction, state: TransactionState): Plan {
  const succeeded = transaction.compare.every((compare) => holds(compare, state));
  const operations = succeeded ? transaction.success : transaction.failure;
  return {
    succeeded,
    steps: operations.map((operation) =>
      operation.type === "txn" ? { type: "plan", plan: choosePlan(operation.txn, state) } : operation,
    ),
  };
}

/** What depends on the state and would refuse the transaction when half of it is done. */
function checkPlan(plan: Plan, state: TransactionState): void {
  for (const step of plan.steps) {
    if (step.type === "plan") checkPlan(step.plan, state);
    else if (step.type === "range") {
      checkReadRevision(step.request.revision, state.revision, state.compactRevision);
    } else if (step.type === "put") checkPut(step, state);
  }
}

function checkPut(put: Operation & { type: "put" }, state: TransactionState): void {
  if (put.ignoreValue === true || put.ignoreLease === true) {
    if (state.range({ key: put.key, keysOnly: true }).kvs.length === 0)
      throw new StatusError("BadRequest", "etcdserver: key not found");
  }
  const { lease = "0" } = put;
  if (put.ignoreLease !== true && lease !== "0" && !state.hasLease(lease)) throw leaseNotFoundError();
}

function holds(compare: Compare, state: TransactionState): boolean {
  const request: RangeRequest = { key: compare.key };
  if (compare.end !== undefined) request.end = compare.end;
  if (compare.target !== "value") request.keysOnly = true;
  const { kvs } = state.range(request);
  if (kvs.length === 0) return compare.target !== "value" && matches(compare, absentKey);
  return kvs.every((kv) => matches(compare, kv));
}

const absentKey: KeyValue = {
  key: "",
  value: new Uint8Array(0),
  createRevision: 0,
  modRevision: 0,
  version: 0,
  lease: "0",
};

function matches(compare: Compare, kv: KeyValue): boolean {
  const order = orderOf(compare, kv);
  switch (compare.operator) {
    case "=":
      return order === 0;
    case "!=":
      return order !== 0;
    case "<":
      return order < 0;
    case ">":
      return order > 0;
    default:
      return unreachable(compare.operator);
  }
}

function orderOf(compare: Compare, kv: KeyValue): number {
  switch (compare.target) {
    case "mod":
      return kv.modRevision - compare.number;
    case "create":
      return kv.createRevision - compare.number;
    case "version":
      return kv.version - compare.number;
    case "value":
      return compareBytes(kv.value, compare.value);
    case "lease": {
      const difference = BigInt(kv.lease) - BigInt(compare.lease);
      return difference === 0n ? 0 : difference < 0n ? -1 : 1;
    }
    default:
      return unreachable(compare);
  }
}

/** Order of byte strings: negative, 0 or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const common = Math.min(a.length, b.length);
  for (let at = 0; at < common; at++) {
    const difference = (a[at] as number) - (b[at] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** One execution: it knows whether anything has changed yet, which decides the revision that reads report. */
class Run {
  readonly #state: TransactionState;
  readonly #nextRevision: number;
  #changed = false;

  constructor(state: TransactionState) {
    this.#state = state;
    this.#nextRevision = state.revision + 1;
  }

  plan(plan: Plan): TransactionResult {
    const results = plan.steps.map((step): OperationResult => {
      if (step.type === "plan") return { type: "txn", result: this.plan(step.plan) };
      return this.#operation(step);
    });
    return { succeeded: plan.succeeded, revision: this.#revision(), results };
  }

  #operation(operation: Exclude<Operation, { type: "txn" }>): OperationResult {
    switch (operation.type) {
      case "put": {
        const { value, lease } = this.#wanted(operation);
        const previous = this.#state.put(operation.key, value, lease, this.#nextRevision);
        this.#changed = true;
        if (operation.previous !== true || previous === undefined) return { type: "put" };
        return { type: "put", previous };
      }
      case "delete": {
        const previous = this.#state.delete(operation.key, operation.end, this.#nextRevision);
        if (previous.length > 0) this.#changed = true;
        return {
          type: "delete",
          deleted: previous.length,
          previous: operation.previous === true ? previous : [],
        };
      }
      case "range": {
        const result = this.#state.range(operation.request);
        result.revision = this.#revision();
        return { type: "range", result };
      }
      default:
        return unreachable(operation);
    }
  }

  /** A put that keeps what is there reads it. */
  #wanted(put: Operation & { type: "put" }): { value: Uint8Array; lease: string } {
    const { value, lease = "0", ignoreValue, ignoreLease } = put;
    if (ignoreValue !== true && ignoreLease !== true) return { value, lease };
    const [present = absentKey] = this.#state.range({ key: put.key }).kvs;
    return {
      value: ignoreValue === true ? present.value : value,
      lease: ignoreLease === true ? present.lease : lease,
    };
  }

  #revision(): number {
    return this.#changed ? this.#nextRevision : this.#state.revision;
  }
}

function checkKey(key: string, end: string | undefined): void {
  if (key === "" && end === undefined) {
    throw new StatusError("BadRequest", "etcdserver: key is not provided");
  }
}

function checkIgnored(put: Operation & { type: "put" }): void {
  if (put.ignoreValue === true && put.value.length > 0)
    throw new StatusError("BadRequest", "etcdserver: value is provided");
  if (put.ignoreLease === true && (put.lease ?? "0") !== "0")
    throw new StatusError("BadRequest", "etcdserver: lease is provided");
}

/** Refuses keys that one revision would change twice: two puts, or a put of a key that is also deleted. */
function checkOperations(operations: Operation[]): void {
  const puts = new Set<string>();
  const deletes: { key: string; end?: string }[] = [];
  collectChanges(operations, puts, deletes);
  for (const range of deletes) {
    if (range.end === undefined ? puts.has(range.key) : anyInRange(puts, range)) throw duplicateKeyError();
  }
}

function collectChanges(
  operations: Operation[],
  puts: Set<string>,
  deletes: { key: string; end?: string }[],
): void {
  for (const operation of operations) {
    if (operation.type === "put") {
      checkKey(operation.key, undefined);
      checkIgnored(operation);
      if (puts.has(operation.key)) throw duplicateKeyError();
      puts.add(operation.key);
    } else if (operation.type === "delete") {
      checkKey(operation.key, operation.end);
      deletes.push(operation);
    } else if (operation.type === "range") {
      checkKey(operation.request.key, operation.request.end);
    } else {
      validateTransaction(operation.txn);
      collectNested(operation.txn, puts, deletes);
    }
  }
}

/** The two branches of a nested transaction exclude each other, so they may change the same key. */
function collectNested(
  transaction: Transaction,
  puts: Set<string>,
  deletes: { key: string; end?: string }[],
): void {
  const success = new Set(puts);
  const failure = new Set(puts);
  collectChanges(transaction.success, success, deletes);
  collectChanges(transaction.failure, failure, deletes);
  for (const key of [...success, ...failure]) puts.add(key);
}

function anyInRange(keys: Set<string>, range: { key: string; end?: string }): boolean {
  for (const key of keys) if (keyRangesOverlap({ key }, range)) return true;
  return false;
}

function duplicateKeyError(): StatusError {
  return new StatusError("BadRequest", "etcdserver: duplicate key given in txn request");
}
