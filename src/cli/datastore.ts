/** `--datastore` and its companions: an existing etcd instead of the nodes' own replicas. */
import { X509Certificate, createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import type { ClusterSettings, DatastoreSettings, NodeIdentity } from "#cluster/identity.ts";
import { writeIdentity } from "#cluster/identity.ts";

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
      ...certificates(flags),
    },
  };
}

/** Whoever gave a wrong address or certificate may say it again, until the first node of the cluster has come up. */
export function correctDatastore(
  dataDir: string,
  identity: NodeIdentity,
  { datastore }: ClusterSettings,
): NodeIdentity {
  if (!mayCorrect(identity) || datastore === undefined) return identity;
  const corrected = { ...identity, settings: { ...identity.settings, datastore } };
  writeIdentity(dataDir, corrected);
  return corrected;
}

/** A replica that was begun is not given up for an etcd, nor is a cluster that others have made. */
export function mayCorrect({ state, grant, settings }: NodeIdentity): boolean {
  return state === "creating" && grant === undefined && settings.datastore !== undefined;
}

function certificates({
  datastoreCa,
  datastoreCert,
  datastoreKey,
}: DatastoreFlags): Pick<DatastoreSettings, "ca" | "cert" | "key"> {
  const ca = pem("--datastore-ca", datastoreCa, (text) => new X509Certificate(text));
  const cert = pem("--datastore-cert", datastoreCert, (text) => new X509Certificate(text));
  const key = pem("--datastore-key", datastoreKey, createPrivateKey);
  if (cert !== undefined && key !== undefined && !cert.parsed.checkPrivateKey(key.parsed))
    throw new Error(`--datastore-key: ${datastoreKey} is not the key of ${datastoreCert}`);
  return {
    ...(ca === undefined ? {} : { ca: ca.text }),
    ...(cert === undefined ? {} : { cert: cert.text }),
    ...(key === undefined ? {} : { key: key.text }),
  };
}

function pem<T>(
  flag: string,
  file: string | undefined,
  parse: (text: string) => T,
): { text: string; parsed: T } | undefined {
  if (file === undefined) return undefined;
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new Error(`${flag}: ${file} can't be read: ${(cause as NodeJS.ErrnoException).code}`, { cause });
  }
  try {
    return { text, parsed: parse(text) };
  } catch (cause) {
    const what = flag === "--datastore-key" ? "private key without a password" : "certificate";
    throw new Error(`${flag}: ${file} is no PEM file of a ${what}`, { cause });
  }
}

function endpoint(text: string): string {
  const url = URL.parse(text.trim());
  if (url === null || !["http:", "https:"].includes(url.protocol) || url.hostname === "")
    throw new Error(`--datastore takes addresses such as https://10.0.0.1:2379, not "${text}"`);
  return `${url.protocol}//${url.host}`;
}
