/** An API server in the process for tests: every kind, no node behind it, nothing on the network. */
import { generateKeyPairSync } from "node:crypto";
import { MemoryBackend } from "#base/memory-backend.ts";
import { systemClock, systemRandom } from "#client/system-clock.ts";
import { allKinds } from "#kinds/all.ts";
import type { ApiServerOptions } from "./options.ts";
import { createApiServer } from "./server.ts";
import type { ApiServer } from "./server.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });

/** Over a memory backend of its own unless one is given. Await `ready()` before the first request. */
export function testServer(options: Partial<ApiServerOptions> = {}): ApiServer {
  return createApiServer({
    backend: new MemoryBackend(),
    kinds: allKinds,
    clock: systemClock,
    random: systemRandom,
    logger: quiet,
    serviceCidr: "10.96.0.0/16",
    serviceAccounts: {
      issuer: "https://kubernetes.default.svc.cluster.local",
      privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    },
    ...options,
  });
}
