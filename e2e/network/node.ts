/**
 * A node of which only the network rooms run, for tests in the lab: its API is a fake one, filled from
 * `objects.json` in the data directory whenever the file changes.
 */
import { readFileSync, statSync, writeFileSync } from "node:fs";

import { createClient } from "#client/client.ts";
import { createFakeApi } from "#client/fake-api.ts";
import { systemClock } from "#client/system-clock.ts";
import type { KubeObject } from "#kinds/object.ts";
import { removeNetwork, startNetwork } from "#network/start.ts";
import { startDns } from "#dns/start.ts";

const dataDir = "/var/lib/trivet";
const [nodeName, nodeIP] = process.argv.slice(2) as [string, string];
const log = (message: string, fields?: unknown) => console.log(message, JSON.stringify(fields ?? {}));
const logger = { debug: log, info: log, warn: log, error: log };

const api = createFakeApi();
let known = new Map<string, [collection: string, key: string]>();
let seenMs = 0;
const load = () => {
  const changedMs = statSync(`${dataDir}/objects.json`).mtimeMs;
  if (changedMs === seenMs) return;
  seenMs = changedMs;
  const objects = JSON.parse(readFileSync(`${dataDir}/objects.json`, "utf8")) as Record<string, KubeObject[]>;
  const now = new Map<string, [string, string]>();
  for (const [collection, list] of Object.entries(objects)) {
    for (const object of list) {
      const { namespace, name } = object.metadata;
      const key = namespace === undefined ? name! : `${namespace}/${name}`;
      now.set(`${collection} ${key}`, [collection, key]);
      api.put(collection, key, object);
    }
  }
  for (const [id, [collection, key]] of known) if (!now.has(id)) api.put(collection, key, undefined);
  known = now;
};
load();
setInterval(load, 20);

const client = createClient({ transport: api.handler, userAgent: "e2e" });
const network = await startNetwork({
  client,
  nodeName,
  nodeIP,
  clusterCidr: "10.42.0.0/16",
  serviceCidr: "10.43.0.0/16",
  ownServiceIPs: ["10.43.0.10"],
  cniConfDir: "/etc/cni/net.d",
  cniDataDir: "/var/lib/trivet/cni/data",
  clock: systemClock,
  logger,
});
const { gatewayIP } = await network.ready;
const dns = await startDns({
  client,
  nodeName,
  bindAddresses: ["10.43.0.10", gatewayIP],
  clusterDomain: "cluster.local",
  dnsServiceIP: "10.43.0.10",
  upstreams: [],
  clock: systemClock,
  logger,
});
writeFileSync(`${dataDir}/ready.json`, JSON.stringify(await network.ready));
process.once("SIGTERM", async () => {
  await dns.close();
  await network.close();
  await removeNetwork();
  process.exit(0);
});
