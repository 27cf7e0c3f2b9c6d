/**
 * The etcd v3 API over a `Backend`, on mutual TLS: whoever has a certificate of the given authority may do
 * everything, as with an etcd without users. What is not served says so (UNIMPLEMENTED).
 */
import * as grpc from "@grpc/grpc-js";
import type { Backend, MemberStatus } from "#base/backend.ts";
import type { Logger } from "#base/ports.ts";
import { clusterService } from "./cluster-service.ts";
import { loadServices } from "./definitions.ts";
import { kvService } from "./kv-service.ts";
import { leaseService } from "./lease-service.ts";
import type { Maintenance } from "./maintenance-service.ts";
import { maintenanceService } from "./maintenance-service.ts";
import { unserved } from "./rpc-errors.ts";
import { StatusMemory } from "./status-memory.ts";
import { WatchEncoder, withEncodedEvents } from "./watch-encoding.ts";
import type { WatchStream } from "./watch-stream.ts";
import { serveWatchStream } from "./watch-stream.ts";

export interface EtcdApiOptions {
  backend: Backend;
  host: string;
  /** 0: any free port. */
  port: number;
  /** PEM. Clients must present a certificate of this authority. */
  tls: { ca: string; cert: string; key: string };
  /** Up to 16 hex digits; how clients tell one cluster from another. */
  clusterId?: string;
  maintenance: Maintenance;
  /** Where a member's own etcd API is reached. */
  clientUrls?: (member: MemberStatus) => string[];
  /** How often watches that asked for it are told of progress while nothing happens. Default 10 minutes, as etcd's. */
  progressIntervalMs?: number;
  logger: Logger;
}

export interface EtcdApi {
  port: number;
  close(): Promise<void>;
}

/** A request of 1.5 MiB, the largest that is taken, and room to refuse a larger one in words. */
const maxMessageBytes = 16 << 20;

export async function startEtcdApi(options: EtcdApiOptions): Promise<EtcdApi> {
  const { backend, tls, maintenance, progressIntervalMs = 600_000 } = options;
  const services = loadServices();
  const server = new grpc.Server({ "grpc.max_receive_message_length": maxMessageBytes });
  const status = new StatusMemory(backend, BigInt(`0x${options.clusterId ?? "0"}`).toString());

  server.addService(services.KV, kvService(backend, status));
  const encoder = new WatchEncoder(services.Watch["Watch"]?.responseSerialize as (answer: object) => Buffer);
  server.addService(withEncodedEvents(services.Watch), {
    Watch: (stream: WatchStream) => serveWatchStream(backend, status, encoder, stream, progressIntervalMs),
  });
  server.addService(services.Lease, leaseService(backend, status));
  server.addService(services.Cluster, clusterService(backend, status, options.clientUrls ?? (() => [])));
  server.addService(services.Maintenance, maintenanceService(backend, status, maintenance));
  const noUsers = unserved("users and roles are not served: clients are known by their certificates");
  server.addService(
    services.Auth,
    Object.fromEntries(Object.keys(services.Auth).map((method) => [method, noUsers])),
  );

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
        status.close();
        const force = setTimeout(() => server.forceShutdown(), 500);
        server.tryShutdown(() => {
          clearTimeout(force);
          resolve();
        });
      }),
  };
}
