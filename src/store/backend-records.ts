/**
 * The binary form of what `Backend` calls take and give: transactions, ranges, results, events. One form
 * for the log, for peers that forward calls, and for the way between threads.
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
  WatchEvent,
  WatchRequest,
} from "#base/backend.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";
import { MalformedError } from "./bytes.ts";

const operators = ["=", "!=", "<", ">"] as const;
const targets = ["mod", "create", "version", "value", "lease"] as const;
const operationTypes = ["put", "delete", "range", "txn"] as const;

export function writeKeyValue(out: ByteWriter, kv: KeyValue): void {
  out
    .key(kv.key)
    .bytes(kv.value)
    .integer(kv.createRevision)
    .integer(kv.modRevision)
    .integer(kv.version)
    .key(kv.lease);
}

export function readKeyValue(from: ByteReader): KeyValue {
  return {
    key: from.key(),
    value: from.bytes(),
    createRevision: from.integer(),
    modRevision: from.integer(),
    version: from.integer(),
    lease: from.key(),
  };
}

export function writeRangeRequest(out: ByteWriter, request: RangeRequest): void {
  const flags =
    (request.serializable === true ? 1 : 0) |
    (request.keysOnly === true ? 2 : 0) |
    (request.countOnly === true ? 4 : 0) |
    (request.end === undefined ? 0 : 8);
  out.byte(flags).key(request.key);
  if (request.end !== undefined) out.key(request.end);
  out.integer(request.limit ?? 0).integer(request.revision ?? 0);
}

export function readRangeRequest(from: ByteReader): RangeRequest {
  const flags = from.byte();
  const request: RangeRequest = { key: from.key() };
  if ((flags & 8) !== 0) request.end = from.key();
  const limit = from.integer();
  const revision = from.integer();
  if (limit !== 0) request.limit = limit;
  if (revision !== 0) request.revision = revision;
  if ((flags & 1) !== 0) request.serializable = true;
  if ((flags & 2) !== 0) request.keysOnly = true;
  if ((flags & 4) !== 0) request.countOnly = true;
  return request;
}

export function writeRangeResult(out: ByteWriter, result: RangeResult): void {
  out.integer(result.revision).integer(result.count).boolean(result.more);
  out.list(result.kvs, (kv) => writeKeyValue(out, kv));
}

export function readRangeResult(from: ByteReader): RangeResult {
  const revision = from.integer();
  const count = from.integer();
  const more = from.boolean();
  return { revision, count, more, kvs: from.list(() => readKeyValue(from)) };
}

export function writeTransaction(out: ByteWriter, transaction: Transaction): void {
  out.optional(transaction.fenceTerm, (term) => out.integer(term));
  out.list(transaction.compare, (compare) => writeCompare(out, compare));
  out.list(transaction.success, (operation) => writeOperation(out, operation));
  out.list(transaction.failure, (operation) => writeOperation(out, operation));
}

export function readTransaction(from: ByteReader): Transaction {
  const fenceTerm = from.optional(() => from.integer());
  const transaction: Transaction = {
    compare: from.list(() => readCompare(from)),
    success: from.list(() => readOperation(from)),
    failure: from.list(() => readOperation(from)),
  };
  if (fenceTerm !== undefined) transaction.fenceTerm = fenceTerm;
  return transaction;
}

export function writeTransactionResult(out: ByteWriter, result: TransactionResult): void {
  out.boolean(result.succeeded).integer(result.revision);
  out.list(result.results, (each) => writeOperationResult(out, each));
}

export function readTransactionResult(from: ByteReader): TransactionResult {
  return {
    succeeded: from.boolean(),
    revision: from.integer(),
    results: from.list(() => readOperationResult(from)),
  };
}

export function writeWatchRequest(out: ByteWriter, request: WatchRequest): void {
  out.key(request.key);
  out.optional(request.end, (end) => out.key(end));
  out.integer(request.fromRevision ?? 0);
}

export function readWatchRequest(from: ByteReader): WatchRequest {
  const request: WatchRequest = { key: from.key() };
  const end = from.optional(() => from.key());
  if (end !== undefined) request.end = end;
  const fromRevision = from.integer();
  if (fromRevision !== 0) request.fromRevision = fromRevision;
  return request;
}

export function writeWatchEvent(out: ByteWriter, event: WatchEvent): void {
  out.boolean(event.type === "delete");
  writeKeyValue(out, event.kv);
  out.optional(event.previous, (previous) => writeKeyValue(out, previous));
}

export function readWatchEvent(from: ByteReader): WatchEvent {
  const type = from.boolean() ? "delete" : "put";
  const kv = readKeyValue(from);
  const previous = from.optional(() => readKeyValue(from));
  return previous === undefined ? { type, kv } : { type, kv, previous };
}

function writeCompare(out: ByteWriter, compare: Compare): void {
  out.byte(targets.indexOf(compare.target)).byte(operators.indexOf(compare.operator)).key(compare.key);
  out.optional(compare.end, (end) => out.key(end));
  if (compare.target === "value") out.bytes(compare.value);
  else if (compare.target === "lease") out.key(compare.lease);
  else out.signed(compare.number);
}

function readCompare(from: ByteReader): Compare {
  const target = pick(targets, from.byte());
  const operator = pick(operators, from.byte());
  const key = from.key();
  const end = from.optional(() => from.key());
  const base = end === undefined ? { key, operator } : { key, operator, end };
  if (target === "value") return { ...base, target, value: from.bytes() };
  if (target === "lease") return { ...base, target, lease: from.key() };
  return { ...base, target, number: from.signed() };
}

function writeOperation(out: ByteWriter, operation: Operation): void {
  out.byte(operationTypes.indexOf(operation.type));
  switch (operation.type) {
    case "put":
      out
        .key(operation.key)
        .bytes(operation.value)
        .key(operation.lease ?? "0");
      out.byte(
        (operation.previous === true ? 1 : 0) |
          (operation.ignoreValue === true ? 2 : 0) |
          (operation.ignoreLease === true ? 4 : 0),
      );
      return;
    case "delete":
      out.key(operation.key);
      out.optional(operation.end, (end) => out.key(end));
      out.boolean(operation.previous === true);
      return;
    case "range":
      writeRangeRequest(out, operation.request);
      return;
    case "txn":
      writeTransaction(out, operation.txn);
      return;
    default:
      unreachable(operation);
  }
}

function readOperation(from: ByteReader): Operation {
  const type = pick(operationTypes, from.byte());
  switch (type) {
    case "put": {
      const put = { type, key: from.key(), value: from.bytes(), lease: from.key() };
      const flags = from.byte();
      const previous = (flags & 1) !== 0;
      // The two are rare, and one shape of object for all puts is quicker than three.
      if (flags < 2) return { ...put, previous };
      return { ...put, previous, ignoreValue: (flags & 2) !== 0, ignoreLease: (flags & 4) !== 0 };
    }
    case "delete": {
      const key = from.key();
      const end = from.optional(() => from.key());
      const previous = from.boolean();
      return end === undefined ? { type, key, previous } : { type, key, end, previous };
    }
    case "range":
      return { type, request: readRangeRequest(from) };
    case "txn":
      return { type, txn: readTransaction(from) };
    default:
      return unreachable(type);
  }
}

function writeOperationResult(out: ByteWriter, result: OperationResult): void {
  out.byte(operationTypes.indexOf(result.type));
  switch (result.type) {
    case "put":
      out.optional(result.previous, (previous) => writeKeyValue(out, previous));
      return;
    case "delete":
      out.integer(result.deleted);
      out.list(result.previous, (previous) => writeKeyValue(out, previous));
      return;
    case "range":
      writeRangeResult(out, result.result);
      return;
    case "txn":
      writeTransactionResult(out, result.result);
      return;
    default:
      unreachable(result);
  }
}

function readOperationResult(from: ByteReader): OperationResult {
  const type = pick(operationTypes, from.byte());
  switch (type) {
    case "put": {
      const previous = from.optional(() => readKeyValue(from));
      return previous === undefined ? { type } : { type, previous };
    }
    case "delete":
      return { type, deleted: from.integer(), previous: from.list(() => readKeyValue(from)) };
    case "range":
      return { type, result: readRangeResult(from) };
    case "txn":
      return { type, result: readTransactionResult(from) };
    default:
      return unreachable(type);
  }
}

function pick<T>(choices: readonly T[], at: number): T {
  const choice = choices[at];
  if (choice === undefined) throw new MalformedError(`unknown variant ${at}`);
  return choice;
}
