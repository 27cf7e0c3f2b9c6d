/**
 * The key material of a node, as files below `DATA/pki`. A control-plane node holds the authorities
 * and issues its own leaf certificates, again when they near their end or its addresses change. A
 * worker holds only the authority's certificate and what it was issued.
 */
import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { join } from "node:path";
import { FatalError } from "#base/errors.ts";
import type { KeyAndCertificate } from "./certificates.ts";
import { belongTogether, covers, createAuthority, isDue, issue } from "./certificates.ts";
import { readIfThere, writePrivateFile } from "./files.ts";
import type { NodeIdentity } from "./identity.ts";
import { addressInBlock } from "./identity.ts";

const authorityDays = 3650;
export const leafDays = 365;

/** The secrets that make a node a control-plane node of its cluster. */
export interface Authorities {
  /** Signs API servers, agents and API clients. */
  cluster: KeyAndCertificate;
  /** Signs replicas. Apart from `cluster`, so that no API client can speak as a replica. */
  peer: KeyAndCertificate;
  /** RSA private key (PEM) that signs service-account tokens. */
  serviceAccountKey: string;
}

export interface NodePki {
  authorities: Authorities;
  apiServer: KeyAndCertificate;
  /** How API servers present themselves to agents. */
  apiClient: KeyAndCertificate;
  /** The agent: serves port 10250 and is "system:node:NAME" towards the API. */
  agent: KeyAndCertificate;
  peer: KeyAndCertificate;
  admin: KeyAndCertificate;
}

/** What helps against a broken key file. */
const remedy =
  'bring the keys back from a backup ("trivet restore FILE --keys-only --yes"), or, with other nodes in the cluster, ' +
  'run "trivet reset --yes" to remove this node\'s data and join again';

/** The common name with which API servers call agents. */
export const apiClientName = "trivet:api-server";

export async function createAuthorities(): Promise<Authorities> {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return {
    cluster: await createAuthority("trivet-ca", authorityDays),
    peer: await createAuthority("trivet-peer-ca", authorityDays),
    serviceAccountKey: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
  };
}

export function writeAuthorities(dataDir: string, authorities: Authorities): void {
  write(dataDir, "ca", authorities.cluster);
  write(dataDir, "peer-ca", authorities.peer);
  writePrivateFile(pkiPath(dataDir, "service-account.key"), authorities.serviceAccountKey);
}

/** Throws FatalError when a file is missing. */
export function readAuthorities(dataDir: string): Authorities {
  const serviceAccountKeyPath = pkiPath(dataDir, "service-account.key");
  const authorities = {
    cluster: read(dataDir, "ca"),
    peer: read(dataDir, "peer-ca"),
    serviceAccountKey: must(serviceAccountKeyPath),
  };
  for (const [file, { certificate, key }] of [
    ["ca", authorities.cluster],
    ["peer-ca", authorities.peer],
  ] as const) {
    mustParse(pkiPath(dataDir, `${file}.crt`), () => new X509Certificate(certificate));
    mustParse(pkiPath(dataDir, `${file}.key`), () => createPrivateKey(key));
  }
  mustParse(serviceAccountKeyPath, () => createPrivateKey(authorities.serviceAccountKey));
  return authorities;
}

function mustParse(path: string, parse: () => unknown): void {
  try {
    parse();
  } catch (cause) {
    throw new FatalError("badDataDir", `${path} is damaged; ${remedy}`, { cause });
  }
}

/** Host names and addresses of an API server's certificate. */
export function apiServerHosts(identity: NodeIdentity): string[] {
  const domain = identity.settings.clusterDomain;
  return [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    `kubernetes.default.svc.${domain}`,
    "localhost",
    identity.name,
    "127.0.0.1",
    addressInBlock(identity.settings.serviceCidr, 1),
    identity.address,
  ];
}

/** Reads the node's key material and issues what is missing, near its end, or names another address. */
export async function ensureNodePki(
  dataDir: string,
  identity: NodeIdentity,
  nowMs: number,
): Promise<NodePki> {
  const authorities = readAuthorities(dataDir);
  async function leaf(
    file: string,
    authority: KeyAndCertificate,
    commonName: string,
    organizations: string[],
    hosts: string[],
    usages: ("server" | "client")[],
  ): Promise<KeyAndCertificate> {
    const certificate = readIfThere(pkiPath(dataDir, `${file}.crt`));
    const key = readIfThere(pkiPath(dataDir, `${file}.key`));
    if (
      certificate !== undefined &&
      key !== undefined &&
      covers(certificate, authority.certificate, hosts) &&
      !isDue(certificate, authority.certificate, nowMs) &&
      belongTogether({ key, certificate })
    )
      return { key, certificate };
    const request = { commonName, organizations, hosts, usages, validDays: leafDays };
    const issued = await issue(authority, request, nowMs);
    write(dataDir, file, issued);
    return issued;
  }
  const { cluster, peer } = authorities;
  const nodeHosts = [identity.name, identity.address];
  return {
    authorities,
    apiServer: await leaf("api-server", cluster, "kube-apiserver", [], apiServerHosts(identity), ["server"]),
    apiClient: await leaf("api-client", cluster, apiClientName, ["system:masters"], [], ["client"]),
    agent: await leaf("agent", cluster, `system:node:${identity.name}`, ["system:nodes"], nodeHosts, [
      "server",
      "client",
    ]),
    peer: await leaf("peer", peer, identity.name, [], [...nodeHosts, "trivet-replica"], ["server", "client"]),
    admin: await leaf("admin", cluster, "kubernetes-admin", ["system:masters"], [], ["client"]),
  };
}

/** What a worker holds: its certificate and the authority that it trusts. */
export interface WorkerPki {
  authorityCertificate: string;
  agent: KeyAndCertificate;
}

export function writeWorkerPki(dataDir: string, pki: WorkerPki): void {
  writePrivateFile(pkiPath(dataDir, "ca.crt"), pki.authorityCertificate);
  write(dataDir, "agent", pki.agent);
}

export function readWorkerPki(dataDir: string): WorkerPki {
  return { authorityCertificate: must(pkiPath(dataDir, "ca.crt")), agent: read(dataDir, "agent") };
}

/** What a witness holds: its replica's certificate and the authority of the replicas. */
export interface WitnessPki {
  peerAuthorityCertificate: string;
  peer: KeyAndCertificate;
}

export function writeWitnessPki(dataDir: string, pki: WitnessPki): void {
  writePrivateFile(pkiPath(dataDir, "peer-ca.crt"), pki.peerAuthorityCertificate);
  write(dataDir, "peer", pki.peer);
}

export function readWitnessPki(dataDir: string): WitnessPki {
  return { peerAuthorityCertificate: must(pkiPath(dataDir, "peer-ca.crt")), peer: read(dataDir, "peer") };
}

/** Throws FatalError "badDataDir" when what the node can't make by itself is missing or damaged. */
export function checkPki(dataDir: string, role: NodeIdentity["role"]): void {
  if (role === "control-plane") readAuthorities(dataDir);
  else if (role === "worker") readWorkerPki(dataDir);
  else readWitnessPki(dataDir);
}

function pkiPath(dataDir: string, file: string): string {
  return join(dataDir, "pki", file);
}

function write(dataDir: string, name: string, pair: KeyAndCertificate): void {
  writePrivateFile(pkiPath(dataDir, `${name}.key`), pair.key);
  writePrivateFile(pkiPath(dataDir, `${name}.crt`), pair.certificate);
}

function read(dataDir: string, name: string): KeyAndCertificate {
  return { key: must(pkiPath(dataDir, `${name}.key`)), certificate: must(pkiPath(dataDir, `${name}.crt`)) };
}

function must(path: string): string {
  const text = readIfThere(path);
  if (text !== undefined) return text;
  throw new FatalError("badDataDir", `${path} is missing; ${remedy}`);
}
