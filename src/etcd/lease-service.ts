/** etcd's Lease service over a `Backend`. */
import type * as grpc from "@grpc/grpc-js";
import type { Backend } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import { fromByteString } from "./messages.ts";
import { grpcError, unary } from "./rpc-errors.ts";
import type { StatusMemory } from "./status-memory.ts";

interface WireLease {
  ID: string;
}

export function leaseService(backend: Backend, status: StatusMemory): grpc.UntypedServiceImplementation {
  const { leases } = backend;
  const header = async () => status.header(await backend.readRevision());
  return {
    LeaseGrant: unary<WireLease & { TTL: string }>(async ({ ID, TTL }) => {
      const { id, ttlSeconds, revision } = await leases.grant(ID, Number(TTL));
      return { header: await status.header(revision), ID: id, TTL: String(ttlSeconds) };
    }),
    LeaseRevoke: unary<WireLease>(async ({ ID }) => ({
      header: await status.header(await leases.revoke(ID)),
    })),
    LeaseTimeToLive: unary<WireLease & { keys: boolean }>(async ({ ID, keys: withKeys }) => {
      const found = await unlessMissing(leases.inspect(ID, withKeys));
      if (found === undefined) return { header: await header(), ID, TTL: "-1" };
      return {
        header: await header(),
        ID,
        TTL: String(found.ttlSeconds),
        grantedTTL: String(found.grantedSeconds),
        keys: found.keys.map(fromByteString),
      };
    }),
    LeaseLeases: unary(async () => ({
      header: await header(),
      leases: (await leases.list()).map((ID) => ({ ID })),
    })),
    LeaseKeepAlive: (stream: grpc.ServerDuplexStream<WireLease, unknown>) => {
      // One after the other: a client that renews faster than this answers is slowed down.
      stream.on("data", ({ ID }: WireLease) => {
        stream.pause();
        keepAlive(ID).then(
          (answer) => {
            stream.write(answer);
            stream.resume();
          },
          (error: unknown) => stream.emit("error", grpcError(error)),
        );
      });
      stream.on("end", () => stream.end());
    },
  };

  /** A lease that isn't there is answered with no time to live, as etcd does. */
  async function keepAlive(ID: string): Promise<object> {
    const seconds = (await unlessMissing(leases.renew(ID))) ?? 0;
    const { revision } = await backend.status();
    return { header: await status.header(revision), ID, TTL: String(seconds) };
  }
}

async function unlessMissing<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof StatusError && error.reason === "NotFound") return undefined;
    throw error;
  }
}
