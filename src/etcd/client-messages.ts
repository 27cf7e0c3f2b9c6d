/**
 * The `Backend` port's data as an etcd server takes and gives it. Keys live below a prefix, so that an etcd can
 * be shared: Trivet's own notes under `meta/`, everything else under `data`. Pure.
 */
import type {
  Compare,
  KeyValue,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResult,
  TransactionResult,
  WatchEvent,
} from "#base/backend.ts";
import { prefixEnd } from "#base/key-range.ts";
import { fromByteString, toByteString } from "./messages.ts";

export interface WireHeader {
  revision: string;
}

export interface WireKeyValue {
  key: Buffer;
  value: Buffer;
  create_revision: string;
  mod_revision: string;
  version: string;
  lease: string;
}

export interface WireRangeResponse {
  header: WireHeader;
  kvs: WireKeyValue[];
  more: boolean;
  count: string;
}

export interface WireEvent {
  type: "PUT" | "DELETE";
  kv: WireKeyValue;
  prev_kv: WireKeyValue | null;
}

export interface WireTxnResponse {
  header: WireHeader;
  succeeded: boolean;
  responses: {
    response_range?: WireRangeResponse;
    response_put?: { prev_kv: WireKeyValue | null };
    response_delete_range?: { deleted: string; prev_kvs: WireKeyValue[] };
    response_txn?: WireTxnResponse;
  }[];
}

const operators = { "=": "EQUAL", "!=": "NOT_EQUAL", "<": "LESS", ">": "GREATER" } as const;

/** Where Trivet's keys are in the etcd. */
export class KeySpace {
  /** All of it, notes too. */
  readonly prefix: string;
  readonly #data: string;

  constructor(prefix: string) {
    this.prefix = prefix;
    this.#data = `${prefix}data`;
  }

  note(name: string): string {
    return `${this.prefix}meta/${name}`;
  }

  wireKey(key: string): Buffer {
    return fromByteString(this.#data + key);
  }

  /** Undefined for what is not data. */
  key(wire: Buffer): string | undefined {
    const key = toByteString(wire);
    return key.startsWith(this.#data) ? key.slice(this.#data.length) : undefined;
  }

  range(range: { key: string; end?: string | undefined }): { key: Buffer; range_end?: Buffer } {
    const { key, end } = range;
    // An end that is there and empty means "all from here on" to etcd.
    if (end === undefined) return { key: this.wireKey(key) };
    const wireEnd = end === "\0" ? prefixEnd(this.#data) : this.#data + end;
    return { key: this.wireKey(key), range_end: fromByteString(wireEnd) };
  }

  keyValue(wire: WireKeyValue): KeyValue {
    return {
      key: this.key(wire.key) ?? "",
      value: new Uint8Array(wire.value),
      createRevision: Number(wire.create_revision),
      modRevision: Number(wire.mod_revision),
      version: Number(wire.version),
      lease: wire.lease,
    };
  }

  event(wire: WireEvent): WatchEvent {
    const kv = this.keyValue(wire.kv);
    const type = wire.type === "PUT" ? "put" : "delete";
    return wire.prev_kv === null ? { type, kv } : { type, kv, previous: this.keyValue(wire.prev_kv) };
  }

  rangeRequest(request: RangeRequest): object {
    return {
      ...this.range(request),
      limit: request.limit ?? 0,
      revision: request.revision ?? 0,
      serializable: request.serializable === true,
      keys_only: request.keysOnly === true,
      count_only: request.countOnly === true,
    };
  }

  rangeResult(wire: WireRangeResponse, request: RangeRequest): RangeResult {
    const { limit = 0 } = request;
    const count = Number(wire.count);
    return {
      revision: Number(wire.header.revision),
      kvs: wire.kvs.map((each) => this.keyValue(each)),
      count,
      more: request.countOnly === true ? limit > 0 && count > limit : wire.more,
    };
  }

  transaction(parts: { compare: Compare[]; success: Operation[]; failure: Operation[] }): object {
    return {
      compare: parts.compare.map((each) => this.#compare(each)),
      success: parts.success.map((each) => this.#operation(each)),
      failure: parts.failure.map((each) => this.#operation(each)),
    };
  }

  transactionResult(
    wire: WireTxnResponse,
    asked: { success: Operation[]; failure: Operation[] },
    revision = Number(wire.header.revision),
  ): TransactionResult {
    const operations = wire.succeeded ? asked.success : asked.failure;
    return {
      succeeded: wire.succeeded,
      revision,
      results: operations.map((each, at) => this.#result(each, wire.responses[at], revision)),
    };
  }

  #compare(compare: Compare): object {
    const common = { ...this.range(compare), result: operators[compare.operator] };
    switch (compare.target) {
      case "mod":
        return { ...common, target: "MOD", mod_revision: compare.number };
      case "create":
        return { ...common, target: "CREATE", create_revision: compare.number };
      case "version":
        return { ...common, target: "VERSION", version: compare.number };
      case "value":
        return { ...common, target: "VALUE", value: compare.value };
      case "lease":
        return { ...common, target: "LEASE", lease: compare.lease };
    }
  }

  #operation(operation: Operation): object {
    switch (operation.type) {
      case "put":
        return {
          request_put: {
            key: this.wireKey(operation.key),
            value: operation.value,
            lease: operation.lease ?? "0",
            prev_kv: operation.previous === true,
            ignore_value: operation.ignoreValue === true,
            ignore_lease: operation.ignoreLease === true,
          },
        };
      case "delete":
        return { request_delete_range: { ...this.range(operation), prev_kv: operation.previous === true } };
      case "range":
        return { request_range: this.rangeRequest(operation.request) };
      case "txn":
        return { request_txn: this.transaction(operation.txn) };
    }
  }

  #result(
    asked: Operation,
    wire: WireTxnResponse["responses"][number] | undefined,
    revision: number,
  ): OperationResult {
    switch (asked.type) {
      case "put": {
        const previous = wire?.response_put?.prev_kv ?? null;
        return previous === null ? { type: "put" } : { type: "put", previous: this.keyValue(previous) };
      }
      case "delete": {
        const { deleted = "0", prev_kvs: previous = [] } = wire?.response_delete_range ?? {};
        return {
          type: "delete",
          deleted: Number(deleted),
          previous: previous.map((each) => this.keyValue(each)),
        };
      }
      case "range": {
        const found = wire?.response_range ?? { header: { revision: "0" }, kvs: [], more: false, count: "0" };
        return { type: "range", result: { ...this.rangeResult(found, asked.request), revision } };
      }
      case "txn": {
        const nested = wire?.response_txn ?? { header: { revision: "0" }, succeeded: false, responses: [] };
        return { type: "txn", result: this.transactionResult(nested, asked.txn, revision) };
      }
    }
  }
}
