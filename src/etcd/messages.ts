/**
 * etcd's messages as the gRPC library gives and takes them, and their translation to and from the
 * `Backend` port. 64-bit numbers travel as decimal strings; keys are bytes on the wire and byte
 * strings inside.
 */
import type {
  BackendStatus,
  Compare,
  KeyValue,
  Operation,
  OperationResult,
  RangeRequest,
  Transaction,
  TransactionResult,
  WatchEvent,
} from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";

export interface WireRangeRequest {
  key: Buffer;
  range_end: Buffer;
  limit: string;
  revision: string;
  sort_order: "NONE" | "ASCEND" | "DESCEND";
  sort_target: "KEY" | "VERSION" | "CREATE" | "MOD" | "VALUE";
  serializable: boolean;
  keys_only: boolean;
  count_only: boolean;
  min_mod_revision: string;
  max_mod_revision: string;
  min_create_revision: string;
  max_create_revision: string;
}

export interface WirePutRequest {
  key: Buffer;
  value: Buffer;
  lease: string;
  prev_kv: boolean;
  ignore_value: boolean;
  ignore_lease: boolean;
}

export interface WireDeleteRequest {
  key: Buffer;
  range_end: Buffer;
  prev_kv: boolean;
}

interface WireOperation {
  request: "request_range" | "request_put" | "request_delete_range" | "request_txn";
  request_range?: WireRangeRequest;
  request_put?: WirePutRequest;
  request_delete_range?: WireDeleteRequest;
  request_txn?: WireTransaction;
}

interface WireCompare {
  result: "EQUAL" | "GREATER" | "LESS" | "NOT_EQUAL";
  target: "VERSION" | "CREATE" | "MOD" | "VALUE" | "LEASE";
  key: Buffer;
  range_end: Buffer;
  version?: string;
  create_revision?: string;
  mod_revision?: string;
  value?: Buffer;
  lease?: string;
}

export interface WireTransaction {
  compare: WireCompare[];
  success: WireOperation[];
  failure: WireOperation[];
}

export function toByteString(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

export function fromByteString(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/** What response headers say beside the revision. */
export interface HeaderSource extends Pick<BackendStatus, "memberId" | "term"> {
  /** 64-bit number as decimal string. */
  clusterId: string;
}

export function header(source: HeaderSource, revision: number): unknown {
  return {
    cluster_id: source.clusterId,
    member_id: wireId(source.memberId),
    revision: String(revision),
    raft_term: String(source.term),
  };
}

/** A member's id of 16 hex digits as etcd's decimal number. */
export function wireId(hex: string): string {
  return BigInt(`0x${hex}`).toString();
}

export function rangeRequest(wire: WireRangeRequest): RangeRequest {
  checkKey(wire.key);
  // A number is a value that the enumeration doesn't have.
  if (typeof wire.sort_order === "number" || typeof wire.sort_target === "number")
    throw new StatusError("BadRequest", "etcdserver: invalid sort option");
  const limited = Number(wire.limit) > 0 && !wire.count_only && !isReordered(wire);
  return {
    key: toByteString(wire.key),
    ...rangeEnd(wire.range_end),
    // A limit before sorting by anything but the key, or before filtering, would cut the wrong ones.
    ...(limited ? { limit: Number(wire.limit) } : {}),
    ...(Number(wire.revision) > 0 ? { revision: Number(wire.revision) } : {}),
    serializable: wire.serializable,
    keysOnly: wire.keys_only && wire.sort_target !== "VALUE",
    countOnly: wire.count_only,
  };
}

/** Applies what the `Backend` does not know: order by other fields and bounds on revisions. */
export function arrange(
  wire: WireRangeRequest,
  found: { kvs: KeyValue[]; more: boolean },
): { kvs: KeyValue[]; more: boolean } {
  if (!isReordered(wire)) return found;
  const within = (value: number, min: string, max: string): boolean =>
    (Number(min) === 0 || value >= Number(min)) && (Number(max) === 0 || value <= Number(max));
  const kvs = found.kvs.filter(
    (each) =>
      within(each.modRevision, wire.min_mod_revision, wire.max_mod_revision) &&
      within(each.createRevision, wire.min_create_revision, wire.max_create_revision),
  );
  const sign = wire.sort_order === "DESCEND" ? -1 : 1;
  kvs.sort((a, b) => sign * compareBy(wire.sort_target, a, b));
  const limit = Number(wire.limit);
  const more = limit > 0 && kvs.length > limit;
  return { kvs: more ? kvs.slice(0, limit) : kvs, more };
}

export function putOperation(wire: WirePutRequest): Operation {
  checkKey(wire.key);
  return {
    type: "put",
    key: toByteString(wire.key),
    value: wire.value,
    lease: wire.lease,
    previous: wire.prev_kv,
    ...(wire.ignore_value ? { ignoreValue: true } : {}),
    ...(wire.ignore_lease ? { ignoreLease: true } : {}),
  };
}

export function deleteOperation(wire: WireDeleteRequest): Operation {
  checkKey(wire.key);
  return { type: "delete", key: toByteString(wire.key), ...rangeEnd(wire.range_end), previous: wire.prev_kv };
}

function checkKey(key: Buffer): void {
  if (key.length === 0) throw new StatusError("BadRequest", "etcdserver: key is not provided");
}

export function transaction(wire: WireTransaction): Transaction {
  return {
    compare: wire.compare.map(comparison),
    success: wire.success.map(operation),
    failure: wire.failure.map(operation),
  };
}

export function wireKeyValue(kv: KeyValue, keysOnly = false): unknown {
  return {
    key: fromByteString(kv.key),
    create_revision: String(kv.createRevision),
    mod_revision: String(kv.modRevision),
    version: String(kv.version),
    value: keysOnly ? Buffer.alloc(0) : kv.value,
    lease: kv.lease,
  };
}

export function wireEvent(event: WatchEvent, withPrevious: boolean): unknown {
  return {
    type: event.type === "put" ? "PUT" : "DELETE",
    kv:
      event.type === "put"
        ? wireKeyValue(event.kv)
        : { key: fromByteString(event.kv.key), mod_revision: String(event.kv.modRevision) },
    ...(withPrevious && event.previous !== undefined ? { prev_kv: wireKeyValue(event.previous) } : {}),
  };
}

export function wireTransactionResult(
  result: TransactionResult,
  wire: WireTransaction,
  responseHeader: unknown,
): Record<string, unknown> {
  const operations = result.succeeded ? wire.success : wire.failure;
  return {
    header: responseHeader,
    succeeded: result.succeeded,
    responses: result.results.map((each, index) =>
      wireOperationResult(each, operations[index], responseHeader),
    ),
  };
}

export function wirePut(result: OperationResult): Record<string, unknown> {
  return result.type === "put" && result.previous !== undefined
    ? { prev_kv: wireKeyValue(result.previous) }
    : {};
}

export function wireDelete(result: OperationResult): Record<string, unknown> {
  if (result.type !== "delete") return {};
  return { deleted: String(result.deleted), prev_kvs: result.previous.map((each) => wireKeyValue(each)) };
}

function wireOperationResult(
  result: OperationResult,
  wire: WireOperation | undefined,
  responseHeader: unknown,
): unknown {
  switch (result.type) {
    case "put":
      return { response_put: { header: responseHeader, ...wirePut(result) } };
    case "delete":
      return { response_delete_range: { header: responseHeader, ...wireDelete(result) } };
    case "range": {
      const request = wire?.request_range;
      const { kvs, more } = request === undefined ? result.result : arrange(request, result.result);
      const keysOnly = request?.keys_only === true;
      return {
        response_range: {
          header: responseHeader,
          kvs: kvs.map((each) => wireKeyValue(each, keysOnly)),
          more,
          count: String(result.result.count),
        },
      };
    }
    case "txn":
      return {
        response_txn: wireTransactionResult(
          result.result,
          wire?.request_txn ?? { compare: [], success: [], failure: [] },
          responseHeader,
        ),
      };
  }
}

function operation(wire: WireOperation): Operation {
  if (wire.request_range !== undefined) return { type: "range", request: rangeRequest(wire.request_range) };
  if (wire.request_put !== undefined) return putOperation(wire.request_put);
  if (wire.request_delete_range !== undefined) return deleteOperation(wire.request_delete_range);
  if (wire.request_txn !== undefined) return { type: "txn", txn: transaction(wire.request_txn) };
  throw new StatusError("BadRequest", "etcdserver: key not found");
}

const operators = { EQUAL: "=", GREATER: ">", LESS: "<", NOT_EQUAL: "!=" } as const;

function comparison(wire: WireCompare): Compare {
  checkKey(wire.key);
  const common = {
    key: toByteString(wire.key),
    ...rangeEnd(wire.range_end),
    operator: operators[wire.result],
  };
  switch (wire.target) {
    case "VERSION":
      return { ...common, target: "version", number: Number(wire.version ?? 0) };
    case "CREATE":
      return { ...common, target: "create", number: Number(wire.create_revision ?? 0) };
    case "MOD":
      return { ...common, target: "mod", number: Number(wire.mod_revision ?? 0) };
    case "VALUE":
      return { ...common, target: "value", value: wire.value ?? Buffer.alloc(0) };
    case "LEASE":
      return { ...common, target: "lease", lease: wire.lease ?? "0" };
  }
}

function isReordered(wire: WireRangeRequest): boolean {
  const sorted =
    wire.sort_order === "DESCEND" || (wire.sort_order === "ASCEND" && wire.sort_target !== "KEY");
  return (
    sorted ||
    wire.sort_target !== "KEY" ||
    [wire.min_mod_revision, wire.max_mod_revision, wire.min_create_revision, wire.max_create_revision].some(
      (each) => Number(each) > 0,
    )
  );
}

function compareBy(target: WireRangeRequest["sort_target"], a: KeyValue, b: KeyValue): number {
  switch (target) {
    case "KEY":
      return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
    case "VERSION":
      return a.version - b.version;
    case "CREATE":
      return a.createRevision - b.createRevision;
    case "MOD":
      return a.modRevision - b.modRevision;
    case "VALUE":
      return Buffer.compare(a.value, b.value);
  }
}

/** etcd writes "all keys from here on" as the one byte 0, as the port does. */
function rangeEnd(wire: Buffer): { end?: string } {
  return wire.length === 0 ? {} : { end: toByteString(wire) };
}
