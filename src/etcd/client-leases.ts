/** Leases of an etcd server. */
import type { Leases } from "#base/leases.ts";
import { leaseNotFoundError } from "#base/leases.ts";
import type { EtcdConnection } from "./client-connection.ts";
import { clientError } from "./client-errors.ts";
import type { KeySpace, WireHeader } from "./client-messages.ts";

const renewTimeoutMs = 5000;

export function clientLeases(connection: EtcdConnection, keys: KeySpace): Leases {
  return {
    grant: async (wanted, ttlSeconds) => {
      const answer = await connection.call<{ header: WireHeader; ID: string; TTL: string }>(
        "Lease",
        "LeaseGrant",
        { ID: wanted, TTL: ttlSeconds },
        "write",
      );
      const revision = Number(answer.header.revision);
      return { id: answer.ID, ttlSeconds: Number(answer.TTL), revision };
    },
    revoke: async (ID) => {
      const { header } = await connection.call<{ header: WireHeader }>(
        "Lease",
        "LeaseRevoke",
        { ID },
        "write",
      );
      return Number(header.revision);
    },
    renew: (id) => renew(connection, id),
    inspect: async (ID, withKeys) => {
      const answer = await connection.call<{ TTL: string; grantedTTL: string; keys: Buffer[] }>(
        "Lease",
        "LeaseTimeToLive",
        { ID, keys: withKeys },
        "read",
      );
      if (Number(answer.TTL) < 0) throw leaseNotFoundError();
      return {
        id: ID,
        ttlSeconds: Number(answer.TTL),
        grantedSeconds: Number(answer.grantedTTL),
        keys: answer.keys
          .map((each) => keys.key(each))
          .filter((each) => each !== undefined)
          .toSorted(),
      };
    },
    list: async () => {
      const { leases } = await connection.call<{ leases: { ID: string }[] }>(
        "Lease",
        "LeaseLeases",
        {},
        "read",
      );
      return leases.map(({ ID }) => ID);
    },
  };
}

/** etcd renews over a stream only; one question and one answer of it. */
function renew(connection: EtcdConnection, id: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const stream = connection.stream("Lease", "LeaseKeepAlive");
    const timer = setTimeout(() => {
      reject(clientError({ code: 4, details: "no answer" }, "write"));
      stream.cancel();
    }, renewTimeoutMs);
    stream.on("data", ({ TTL }: { TTL: string }) => {
      if (Number(TTL) > 0) resolve(Number(TTL));
      else reject(leaseNotFoundError());
      stream.end();
    });
    stream.on("error", (error) => {
      clearTimeout(timer);
      connection.leave();
      reject(clientError(error, "write"));
    });
    stream.on("end", () => clearTimeout(timer));
    stream.write({ ID: id });
  });
}
