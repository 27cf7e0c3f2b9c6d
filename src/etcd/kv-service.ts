/** etcd's KV service over a `Backend`. */
import type * as grpc from "@grpc/grpc-js";
import type { Backend, Operation } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import type { WireDeleteRequest, WirePutRequest, WireRangeRequest, WireTransaction } from "./messages.ts";
import {
  arrange,
  deleteOperation,
  putOperation,
  rangeRequest,
  transaction,
  wireDelete,
  wireKeyValue,
  wirePut,
  wireTransactionResult,
} from "./messages.ts";
import { unary } from "./rpc-errors.ts";
import type { StatusMemory } from "./status-memory.ts";

/** etcd's --max-request-bytes, by default. */
const maxRequestBytes = 1.5 * 1024 * 1024;

export function kvService(backend: Backend, status: StatusMemory): grpc.UntypedServiceImplementation {
  const one = async (operation: Operation) => {
    const { revision, results } = await backend.transact({ compare: [], success: [operation], failure: [] });
    return { header: await status.header(revision), result: results[0] };
  };
  return {
    Range: unary<WireRangeRequest>(async (request) => {
      const found = await backend.range(rangeRequest(request));
      const { kvs, more } = arrange(request, found);
      return {
        header: await status.header(found.revision),
        kvs: kvs.map((each) => wireKeyValue(each, request.keys_only)),
        more,
        count: String(found.count),
      };
    }),
    Put: unary<WirePutRequest>(async (request) => {
      checkSize(request.key.length + request.value.length);
      const { header, result } = await one(putOperation(request));
      return { header, ...(result === undefined ? {} : wirePut(result)) };
    }),
    DeleteRange: unary<WireDeleteRequest>(async (request) => {
      const { header, result } = await one(deleteOperation(request));
      return { header, ...(result === undefined ? {} : wireDelete(result)) };
    }),
    Txn: unary<WireTransaction>(async (request) => {
      checkSize(putBytes(request));
      const result = await backend.transact(transaction(request));
      return wireTransactionResult(result, request, await status.header(result.revision));
    }),
    Compact: unary<{ revision: string }>(async (request) => {
      await backend.compact(Number(request.revision));
      return { header: await status.header(await backend.readRevision()) };
    }),
  };
}

function checkSize(sizeBytes: number): void {
  if (sizeBytes > maxRequestBytes)
    throw new StatusError("RequestEntityTooLarge", "etcdserver: request is too large");
}

function putBytes(wire: WireTransaction): number {
  let sum = 0;
  for (const { request_put: put, request_txn: nested } of [...wire.success, ...wire.failure]) {
    if (put !== undefined) sum += put.key.length + put.value.length;
    if (nested !== undefined) sum += putBytes(nested);
  }
  return sum;
}
