/**
 * `node.json`: who this node is and what it was told when it was made. Identity is the name and the
 * keys beside it; addresses are metadata that may change.
 */
import { join } from "node:path";
import { FatalError } from "#base/errors.ts";
import { readIfThere, writePrivateFile } from "./files.ts";
import type { JoinGrant } from "#replica/types.ts";
import type { NodeRole } from "./token.ts";

/** Settings that all nodes of a cluster share; a joining node receives them. */
export interface ClusterSettings {
  clusterCidr: string;
  serviceCidr: string;
  clusterDomain: string;
  nodePortRange: string;
  /** An etcd of the owner's instead of replicas; absent: the nodes are the datastore. */
  datastore?: DatastoreSettings;
  /** Port of the etcd API on every control-plane node; absent: it is not served. */
  etcdApiPort?: number;
  /** How many voters the cluster was made for; absent: 3. What `trivet voters` has set since counts more. */
  voters?: number;
}

export interface DatastoreSettings {
  /** http(s)://HOST:PORT of the etcd's members. */
  endpoints: string[];
  /** What all keys begin with. */
  prefix: string;
  /** PEM: the etcd's authority, and what this cluster shows to it. */
  ca?: string;
  cert?: string;
  key?: string;
}

export interface NodePorts {
  api: number;
  peer: number;
  agent: number;
}

export interface NodeIdentity {
  /** Version of this file's format. */
  format: 1;
  name: string;
  role: NodeRole;
  /** The IP address that other nodes reach this node at. */
  address: string;
  /** It was given by the node's owner, and is not replaced when the machine has another one. */
  addressGiven?: boolean;
  failureDomain: string;
  ports: NodePorts;
  settings: ClusterSettings;
  /** For workers: host:port of the API servers known at the last start. */
  endpoints: string[];
  /** "creating" until the first start of the node has succeeded: such a directory may be made anew. */
  state: "creating" | "ready";
  /** The leave to join that the replica starts with the first time; absent on the first node of a cluster. */
  grant?: JoinGrant;
}

export const defaultSettings: ClusterSettings = {
  clusterCidr: "10.42.0.0/16",
  serviceCidr: "10.43.0.0/16",
  clusterDomain: "cluster.local",
  nodePortRange: "30000-32767",
};

export const defaultPorts: NodePorts = { api: 16443, peer: 19001, agent: 10250 };

export function identityPath(dataDir: string): string {
  return join(dataDir, "node.json");
}

/** The node's identity, or undefined where the directory holds no node. Throws FatalError for a broken file. */
export function readIdentity(dataDir: string): NodeIdentity | undefined {
  const path = identityPath(dataDir);
  const text = readIfThere(path);
  if (text === undefined) return undefined;
  let value: Partial<NodeIdentity>;
  try {
    value = JSON.parse(text) as Partial<NodeIdentity>;
  } catch (cause) {
    throw broken(path, "it is not JSON", cause);
  }
  if (value.format !== 1) throw broken(path, `its format is ${JSON.stringify(value.format)}, expected 1`);
  for (const field of ["name", "role", "address", "ports", "settings", "state"] as const)
    if (value[field] === undefined) throw broken(path, `"${field}" is missing`);
  return value as NodeIdentity;
}

export function writeIdentity(dataDir: string, identity: NodeIdentity): void {
  writePrivateFile(identityPath(dataDir), JSON.stringify(identity, undefined, 2) + "\n");
}

/** The n-th address of an IPv4 block: serviceAddress("10.43.0.0/16", 10) is "10.43.0.10". */
export function addressInBlock(cidr: string, index: number): string {
  const [base = ""] = cidr.split("/");
  const number = base.split(".").reduce((sum, octet) => sum * 256 + Number(octet), 0) + index;
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join(".");
}

function broken(path: string, why: string, cause?: unknown): FatalError {
  return new FatalError(
    "badDataDir",
    `${path} can't be used: ${why}; restore it, or run "trivet reset" to remove this node's data`,
    { cause },
  );
}
