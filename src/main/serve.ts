/** `trivet serve`: runs the node of a data directory in the foreground until it is asked to stop. */
import { mkdirSync } from "node:fs";
import type { ServeOptions } from "#cli/context.ts";
import { datastoreSetting } from "#cli/datastore.ts";
import { etcdSetting, rememberEtcdApi } from "#cli/etcd-api.ts";
import { removePidFile, writePidFile, findNode } from "#cli/process-control.ts";
import { defaultAddress, machineAddresses } from "#cli/system.ts";
import { createCluster } from "#cluster/join.ts";
import type { NodeIdentity } from "#cluster/identity.ts";
import { defaultPorts, defaultSettings, readIdentity, writeIdentity } from "#cluster/identity.ts";
import { followAddress } from "#cluster/moved-address.ts";
import { hostname } from "node:os";
import { createLogger } from "./logger.ts";

/** A running composition of rooms. */
export interface Running {
  close(): Promise<void>;
}

export async function serve(options: ServeOptions): Promise<void> {
  const components = options.components.join(",");
  if (components !== "all" && components !== "api")
    throw new Error(`--components takes "all" or "api", not "${components}"`);
  mkdirSync(options.dataDir, { recursive: true, mode: 0o700 });
  if (findNode(options.dataDir) !== undefined)
    throw new Error(`a node already runs in ${options.dataDir}: "trivet stop" stops it`);
  const logger = createLogger("node");
  const known = readIdentity(options.dataDir);
  const found =
    known === undefined ? await newCluster(options, components) : moved(options.dataDir, known, logger);
  const identity = rememberEtcdApi(options.dataDir, found, options.etcdApi);
  writePidFile(options.dataDir);
  const stop = whenAskedToStop();
  try {
    // A start may wait long for a leader, and can be asked to stop meanwhile as a crash may end it.
    const running = await Promise.race([start(options, identity, components, logger), stop]);
    logger.info("stopping", { reason: await stop });
    if (typeof running !== "string") await running.close();
    logger.info("stopped");
  } finally {
    removePidFile(options.dataDir);
  }
  // What a library may still hold open must not keep a stopped node alive.
  process.exit(0);
}

async function start(
  options: ServeOptions,
  identity: NodeIdentity,
  components: string,
  logger: ReturnType<typeof createLogger>,
): Promise<Running> {
  if (identity.role === "worker") {
    const { startWorker } = await import("./worker.ts");
    return startWorker(options.dataDir, identity, logger);
  }
  if (identity.role === "witness") {
    const { startWitness } = await import("./witness.ts");
    return startWitness(options.dataDir, identity, logger);
  }
  const { startControlPlane } = await import("./control-plane.ts");
  return startControlPlane(options.dataDir, identity, logger, {
    apiOnly: components === "api",
    ...(options.port === undefined ? {} : { apiPort: options.port }),
  });
}

/** A machine that has another address now goes on as the same node: its keys are its identity. */
function moved(
  dataDir: string,
  identity: NodeIdentity,
  logger: ReturnType<typeof createLogger>,
): NodeIdentity {
  if (identity.ports.peer === 0) return identity;
  const now = followAddress(identity, { addresses: machineAddresses(), default: defaultAddress });
  if (now === undefined) return identity;
  logger.warn("this node has another address", { from: identity.address, to: now.address });
  writeIdentity(dataDir, now);
  return now;
}

/** A data directory without a node becomes the first node of a new cluster. */
async function newCluster(options: ServeOptions, components: string): Promise<NodeIdentity> {
  const apiOnly = components === "api";
  return createCluster(
    {
      dataDir: options.dataDir,
      name: (options.name ?? hostname()).toLowerCase(),
      ...(options.address === undefined ? {} : { addressGiven: true }),
      address: options.address ?? (apiOnly ? "127.0.0.1" : defaultAddress()),
      failureDomain: options.failureDomain ?? "",
      ports: apiOnly ? { api: options.port ?? defaultPorts.api, peer: 0, agent: 0 } : defaultPorts,
    },
    {
      ...defaultSettings,
      ...(options.voters === undefined ? {} : { voters: options.voters }),
      ...etcdSetting(options.etcdApi),
      ...datastoreSetting(options.external ?? {}),
      ...(options.serviceCidr === undefined ? {} : { serviceCidr: options.serviceCidr }),
    },
  );
}

function whenAskedToStop(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const)
      process.once(signal, () => resolve(signal));
  });
}
