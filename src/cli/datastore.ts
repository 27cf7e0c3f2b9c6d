/** `--datastore` and its companions: an existing etcd instead of the nodes' own replicas. */
import { readFileSync } from "node:fs";
import type { DatastoreSettings } from "#cluster/identity.ts";

export interface DatastoreFlags {
  datastore?: string;
  datastoreCa?: string;
  datastoreCert?: string;
  datastoreKey?: string;
  datastorePrefix?: string;
}

export const datastoreOptions = [
  ["--datastore <endpoints>", "use this etcd as the datastore: https://HOST:2379[,...]"],
  ["--datastore-ca <file>", "the etcd's certificate authority"],
  ["--datastore-cert <file>", "certificate for the etcd"],
  ["--datastore-key <file>", "its key"],
  ["--datastore-prefix <prefix>", "what all keys begin with (default /trivet/)"],
] as const;

/** As a part of a new cluster's settings: all nodes that join get them. Throws when they can't be used. */
export function datastoreSetting(flags: DatastoreFlags): { datastore?: DatastoreSettings } {
  const { datastore, datastoreCa, datastoreCert, datastoreKey, datastorePrefix = "/trivet/" } = flags;
  if (datastore === undefined) {
    if ([datastoreCa, datastoreCert, datastoreKey].some((each) => each !== undefined))
      throw new Error("--datastore-ca, --datastore-cert and --datastore-key need --datastore");
    return {};
  }
  if ((datastoreCert === undefined) !== (datastoreKey === undefined))
    throw new Error("--datastore-cert and --datastore-key go together");
  if (!/^\/([\w.-]+\/)+$/.test(datastorePrefix))
    throw new Error(`--datastore-prefix takes a path such as /trivet/, not "${datastorePrefix}"`);
  return {
    datastore: {
      endpoints: datastore.split(",").map(endpoint),
      prefix: datastorePrefix,
      ...(datastoreCa === undefined ? {} : { ca: readFileSync(datastoreCa, "utf8") }),
      ...(datastoreCert === undefined ? {} : { cert: readFileSync(datastoreCert, "utf8") }),
      ...(datastoreKey === undefined ? {} : { key: readFileSync(datastoreKey, "utf8") }),
    },
  };
}

function endpoint(text: string): string {
  const url = URL.parse(text.trim());
  if (url === null || !["http:", "https:"].includes(url.protocol) || url.hostname === "")
    throw new Error(`--datastore takes addresses such as https://10.0.0.1:2379, not "${text}"`);
  return `${url.protocol}//${url.host}`;
}
