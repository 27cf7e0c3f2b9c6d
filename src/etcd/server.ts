/**
 * The etcd v3 API over a `Backend`: key-value calls, watches, member list and status, enough for etcdctl
 * and for clients that keep no leases. What is not served is answered UNIMPLEMENTED by the library.
 */
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import type { Backend } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import type { Logger } from "#base/ports.ts";
import type { WireDeleteRequest, WirePutRequest, WireRangeRequest, WireTransaction } from "./messages.ts";
import {
  arrange,
  deleteOperation,
  header,
  putOperation,
  rangeRequest,
  transaction,
  wireDelete,
  wireKeyValue,
  wirePut,
  wireTransactionResult,
} from "./messages.ts";
import { StatusMemory } from "./status-memory.ts";
import { serveWatchStream } from "./watch-stream.ts";
import type { WatchStream } from "./watch-stream.ts";

/** The release of etcd whose interface is served, for clients that ask. */
const etcdVersion = "3.5.0";

export interface EtcdApiOptions {
  backend: Backend;
  host: string;
  /** 0: any free port. */
  port: number;
  /** PEM. Clients must present a certificate of this authority. */
  tls: { ca: string; cert: string; key: string };
  logger: Logger;
}

export interface EtcdApi {
  port: number;
  close(): Promise<void>;
}

export async function startEtcdApi(options: EtcdApiOptions): Promise<EtcdApi> {
  const { backend, tls } = options;
  const services = loadServices();
  const server = new grpc.Server();
  const status = new StatusMemory(backend);

  server.addService(services.KV, {
    Range: unary<WireRangeRequest>(async (request) => {
      const found = await backend.range(rangeRequest(request));
      const { kvs, more } = arrange(request, found);
      return {
        header: header(await status.get(), found.revision),
        kvs: kvs.map((each) => wireKeyValue(each, request.keys_only)),
        more,
        count: String(found.count),
      };
    }),
    Put: unary<WirePutRequest>(async (request) => {
      const result = await backend.transact({ compare: [], success: [putOperation(request)], failure: [] });
      const [first] = result.results;
      return {
        header: header(await status.get(), result.revision),
        ...(first === undefined ? {} : wirePut(first)),
      };
    }),
    DeleteRange: unary<WireDeleteRequest>(async (request) => {
      const result = await backend.transact({
        compare: [],
        success: [deleteOperation(request)],
        failure: [],
      });
      const [first] = result.results;
      return {
        header: header(await status.get(), result.revision),
        ...(first === undefined ? {} : wireDelete(first)),
      };
    }),
    Txn: unary<WireTransaction>(async (request) => {
      const result = await backend.transact(transaction(request));
      return wireTransactionResult(result, request, header(await status.get(), result.revision));
    }),
    Compact: unary<{ revision: string }>(async (request) => {
      await backend.compact(Number(request.revision));
      return { header: header(await status.get(), await backend.readRevision()) };
    }),
  });
  server.addService(services.Watch, {
    Watch: (stream: WatchStream) => serveWatchStream(backend, status, stream),
  });
  server.addService(services.Cluster, {
    MemberList: unary(async () => {
      const seen = await backend.status();
      return {
        header: header(seen, seen.revision),
        members: seen.members.map((each) => ({
          ID: BigInt(`0x${each.id}`).toString(),
          name: each.name,
          peerURLs: [`https://${each.address}`],
          clientURLs: [],
          isLearner: each.role !== "voter",
        })),
      };
    }),
  });
  server.addService(services.Maintenance, {
    Status: unary(async () => {
      const seen = await backend.status();
      return {
        header: header(seen, seen.revision),
        version: etcdVersion,
        dbSize: String(seen.databaseBytes),
        dbSizeInUse: String(seen.databaseBytes),
        leader: seen.leaderId === undefined ? "0" : BigInt(`0x${seen.leaderId}`).toString(),
        raftIndex: String(seen.committedIndex),
        raftTerm: String(seen.term),
        raftAppliedIndex: String(seen.appliedIndex),
        isLearner: seen.members.find((each) => each.id === seen.memberId)?.role !== "voter",
      };
    }),
  });

  const credentials = grpc.ServerCredentials.createSsl(
    Buffer.from(tls.ca),
    [{ private_key: Buffer.from(tls.key), cert_chain: Buffer.from(tls.cert) }],
    true,
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${options.host}:${options.port}`, credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  options.logger.info("etcd API listens", { port });
  return {
    port,
    close: () =>
      new Promise((resolve) => {
        const force = setTimeout(() => server.forceShutdown(), 500);
        server.tryShutdown(() => {
          clearTimeout(force);
          resolve();
        });
      }),
  };
}

type Services = Record<"KV" | "Watch" | "Cluster" | "Maintenance", grpc.ServiceDefinition>;

function loadServices(): Services {
  const definition = loadSync(new URL("rpc.proto", import.meta.url).pathname, {
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    arrays: true,
    oneofs: true,
    includeDirs: [new URL(".", import.meta.url).pathname],
  });
  const service = (name: string): grpc.ServiceDefinition =>
    definition[`etcdserverpb.${name}`] as grpc.ServiceDefinition;
  return {
    KV: service("KV"),
    Watch: service("Watch"),
    Cluster: service("Cluster"),
    Maintenance: service("Maintenance"),
  };
}

function unary<Request>(
  handle: (request: Request) => Promise<unknown>,
): grpc.handleUnaryCall<Request, unknown> {
  return (call, answer) => {
    handle(call.request).then(
      (value) => answer(null, value),
      (error: unknown) => answer(grpcError(error)),
    );
  };
}

/** The status codes that etcd's clients expect (etcd's api/v3rpc/rpctypes). */
function grpcError(error: unknown): Partial<grpc.StatusObject> {
  if (!(error instanceof StatusError)) return { code: grpc.status.INTERNAL, details: String(error) };
  switch (error.reason) {
    case "Expired":
      return {
        code: grpc.status.OUT_OF_RANGE,
        details: "etcdserver: mvcc: required revision has been compacted",
      };
    case "BadRequest":
      return {
        code: /future revision/.test(error.message) ? grpc.status.OUT_OF_RANGE : grpc.status.INVALID_ARGUMENT,
        details: error.message,
      };
    case "NotFound":
      return { code: grpc.status.NOT_FOUND, details: error.message };
    case "TooManyRequests":
      return { code: grpc.status.RESOURCE_EXHAUSTED, details: "etcdserver: too many requests" };
    case "NotImplemented":
      return { code: grpc.status.UNIMPLEMENTED, details: error.message };
    default:
      return { code: grpc.status.UNAVAILABLE, details: error.message };
  }
}
