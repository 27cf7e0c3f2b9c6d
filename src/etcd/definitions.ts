/** The services of `rpc.proto`, as the gRPC library wants them: for the server and for the client alike. */
import type * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

type Services = Record<"KV" | "Watch" | "Lease" | "Cluster" | "Maintenance" | "Auth", grpc.ServiceDefinition>;

/** 64-bit numbers are decimal strings, enumerations their names, absent fields their defaults. */
export function loadServices(): Services {
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
    Lease: service("Lease"),
    Cluster: service("Cluster"),
    Maintenance: service("Maintenance"),
    Auth: service("Auth"),
  };
}
