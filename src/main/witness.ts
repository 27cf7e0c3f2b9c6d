/**
 * A witness: the replica alone, without a thread of its own. It votes and holds the data, and serves nothing but its own
 * status.
 */
import { rmSync } from "node:fs";
import { createServer } from "node:http";
import type { Logger } from "#base/ports.ts";
import { systemClock } from "#client/system-clock.ts";
import { witnessSocket } from "#cli/witness-status.ts";
import type { NodeIdentity } from "#cluster/identity.ts";
import { writeIdentity } from "#cluster/identity.ts";
import { readWitnessPki } from "#cluster/pki.ts";
import type { ReplicaSettings } from "#replica/open-replica.ts";
import { openInterruptible } from "#replica/open-interruptible.ts";
import { expiryWarnings } from "./expiry.ts";
import { composeWitnessStatus } from "./node-status.ts";
import { nodePaths } from "./paths.ts";
import type { Running } from "./serve.ts";
import { version } from "#base/version.ts";

export async function startWitness(
  dataDir: string,
  identity: NodeIdentity,
  logger: Logger,
): Promise<Running> {
  const pki = readWitnessPki(dataDir);
  const { address, ports, grant, settings } = identity;
  const replicaSettings = {
    dataDir: nodePaths(dataDir).replica,
    listen: { host: "0.0.0.0", port: ports.peer },
    advertise: `${address}:${ports.peer}`,
    tls: { ca: pki.peerAuthorityCertificate, cert: pki.peer.certificate, key: pki.peer.key },
    mode: identity.state === "ready" || grant === undefined ? { type: "restart" } : { type: "join", grant },
    ...(settings.voters === undefined ? {} : { targets: { voters: settings.voters } }),
  } satisfies ReplicaSettings;
  const replica = await openInterruptible(replicaSettings, logger, {
    onStatus: () => undefined,
    onReopened: () => undefined,
    onFatal: (error) => {
      logger.error("the datastore of this witness has died", { error: error.message });
      process.exit(70);
    },
  });
  const ending = {
    "the certificate of this witness": {
      certificate: pki.peer.certificate,
      advice: `run "trivet remove-node ${identity.name}" on another node, then "trivet reset --yes" and "trivet join" here`,
    },
  };
  const socket = witnessSocket(dataDir);
  // What an earlier process left behind.
  rmSync(socket, { force: true });
  const server = createServer((_request, response) => {
    try {
      const status = composeWitnessStatus(identity.name, version, replica.opened.node.status());
      response.end(JSON.stringify({ ...status, ...expiryWarnings(ending, systemClock.nowMs()) }));
    } catch (error) {
      // It begins anew, as a member of another cluster.
      response.statusCode = 503;
      response.end(String(error));
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socket, resolve);
  });
  if (identity.state === "creating") writeIdentity(dataDir, { ...identity, state: "ready" });
  logger.info("the witness is running", { node: identity.name });
  return {
    async close() {
      server.close();
      server.closeAllConnections();
      await replica.stop();
    },
  };
}
