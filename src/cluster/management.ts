/**
 * The management API, served beside the Kubernetes API under /trivet/v1: status, join tokens, joins and
 * the removal of nodes. Everything but `join`, which needs a token, and `certificates`,
 * which needs a node's certificate, needs a cluster administrator. It
 * works on any control-plane node, and knows Kubernetes objects only through `NodeDirectory`.
 */
import { isIP } from "node:net";
import { StatusError } from "#base/errors.ts";
import type { Backend } from "#base/backend.ts";
import type { JoinGrant } from "#replica/types.ts";
import type { HttpHandler, HttpRequest, HttpResponse } from "#base/http.ts";
import { renewAgent, signAgent } from "./agent-certificates.ts";
import type { DrillPorts } from "./drill.ts";
import { runDrillCall } from "./drill.ts";
import type { KeyAndCertificate } from "./certificates.ts";
import { fingerprint, signRequest } from "./certificates.ts";
import type { ClusterSettings } from "./identity.ts";
import type { Authorities } from "./pki.ts";
import type { NodeRole, TokenRecord } from "./token.ts";
import { checkToken, createToken } from "./token.ts";

export interface Member {
  id: string;
  name: string;
  address: string;
  online: boolean;
}

/** What joins and removals need of the replica. */
export interface Membership {
  members(): Promise<Member[]>;
  add(member: {
    name: string;
    address: string;
    apiAddress: string;
    failureDomain: string;
    witness: boolean;
  }): Promise<JoinGrant>;
  /** 3, 5 or 7. */
  setVoters(voters: number): Promise<void>;
  /** Idempotent. Rejects with Forbidden for the last member. */
  remove(id: string): Promise<void>;
}

/** The cluster's Node objects. */
export interface NodeDirectory {
  exists(name: string): Promise<boolean>;
  /** Removes the Node object; nothing happens where there is none. */
  remove(name: string): Promise<void>;
  /** host:port of all API servers. */
  apiEndpoints(): Promise<string[]>;
}

export interface ManagementOptions {
  backend: Backend;
  membership: Membership;
  nodes: NodeDirectory;
  authorities: Authorities;
  settings: ClusterSettings;
  version: string;
  drill: DrillPorts;
  status(): Promise<unknown>;
  nowMs(): number;
}

export interface JoinRequest {
  tokenId: string;
  secret: string;
  name: string;
  role: NodeRole;
  /** IP address of the joining machine. */
  address: string;
  peerPort: number;
  apiPort: number;
  failureDomain: string;
  version: string;
  /** Workers: PKCS#10 request for the agent's certificate; witnesses: for the replica's. */
  certificateRequest?: string;
}

export interface JoinAnswer {
  settings: ClusterSettings;
  endpoints: string[];
  controlPlane?: {
    authorities: Authorities;
    grant: JoinGrant;
  };
  worker?: { authorityCertificate: string; agentCertificate: string };
  /** What a replica needs, and nothing that opens the API. */
  witness?: { peerAuthorityCertificate: string; peerCertificate: string; grant: JoinGrant };
}

const tokenPrefix = "/trivet/join-tokens/";
/** A witness holds no authority with which it could renew its certificate. */
const witnessDays = 3650;
const ttlSecondsMax = 7 * 24 * 3600;

export function createManagement(options: ManagementOptions): HttpHandler {
  return async (request) => {
    try {
      return json(200, await route(options, request));
    } catch (error) {
      const status =
        error instanceof StatusError
          ? error
          : new StatusError("InternalError", error instanceof Error ? error.message : String(error));
      return json(status.code, status.toStatus());
    }
  };
}

async function route(options: ManagementOptions, request: HttpRequest): Promise<unknown> {
  const path = request.path.replace(/^\/trivet\/v1\//, "");
  if (path === "join" && request.method === "POST") return join(options, parse<JoinRequest>(request));
  if (path === "certificates" && request.method === "POST")
    return renewAgent(options, request.user, parse(request));
  if (!(request.user?.groups ?? []).includes("system:masters"))
    throw new StatusError(
      "Forbidden",
      `user "${request.user?.name ?? "system:anonymous"}" can't manage this cluster`,
    );
  if (path === "status" && request.method === "GET") return options.status();
  if (path === "tokens" && request.method === "POST")
    return issueToken(options, parse<{ role: NodeRole; ttlSeconds: number }>(request));
  if (path === "voters" && request.method === "POST") {
    await options.membership.setVoters(parse<{ voters: number }>(request).voters);
    return {};
  }
  if (path.startsWith("drill/") && request.method === "POST")
    return runDrillCall(path.slice("drill/".length), options.backend, options.drill, parse(request));
  const removal = /^nodes\/([^/]+)$/.exec(path)?.[1];
  if (removal !== undefined && request.method === "DELETE") {
    const query = new URLSearchParams(request.query);
    return removeNode(options, decodeURIComponent(removal), {
      force: query.get("force") === "true",
      leaving: query.get("leaving") === "true",
    });
  }
  throw new StatusError("NotFound", `the management API has no ${request.method} ${request.path}`);
}

async function issueToken(
  options: ManagementOptions,
  request: { role: NodeRole; ttlSeconds: number },
): Promise<{ token: string; fingerprint: string; endpoints: string[]; expiresAt: string }> {
  if (!["control-plane", "worker", "witness"].includes(request.role))
    throw new StatusError("BadRequest", `a node can't join as ${String(request.role)}`);
  if (!(request.ttlSeconds > 0 && request.ttlSeconds <= ttlSecondsMax))
    throw new StatusError("BadRequest", "the lifetime of a token is between 1 s and 7 days");
  const nowMs = options.nowMs();
  const { record, token } = createToken(request.role, nowMs + request.ttlSeconds * 1000);
  await removeEndedTokens(options, nowMs);
  await options.backend.transact({
    compare: [],
    success: [{ type: "put", key: tokenPrefix + record.id, value: encode(record) }],
    failure: [],
  });
  return {
    token,
    fingerprint: fingerprint(options.authorities.cluster.certificate),
    endpoints: await options.nodes.apiEndpoints(),
    expiresAt: new Date(record.expiresAtMs).toISOString(),
  };
}

async function join(options: ManagementOptions, request: JoinRequest): Promise<JoinAnswer> {
  checkJoinRequest(options, request);
  const key = tokenPrefix + request.tokenId;
  const found = (await options.backend.range({ key })).kvs[0];
  const record = checkToken(
    found === undefined ? undefined : decode(found.value),
    request.secret,
    options.nowMs(),
  );
  if (record.role !== request.role)
    throw new StatusError(
      "Forbidden",
      `the join token is for a ${record.role} node, not for a ${request.role}: use "trivet add-node${request.role === "control-plane" ? "" : ` --${request.role}`}"`,
    );
  const members = await options.membership.members();
  if (members.some((each) => each.name === request.name) || (await options.nodes.exists(request.name)))
    throw new StatusError(
      "AlreadyExists",
      `a node named "${request.name}" is already in this cluster: choose another with --name, or remove it first with "trivet remove-node ${request.name}"`,
    );
  const used = await options.backend.transact({
    compare: [{ key, operator: "=", target: "mod", number: found?.modRevision ?? 0 }],
    success: [{ type: "put", key, value: encode({ ...record, usedBy: request.name }) }],
    failure: [],
  });
  if (!used.succeeded) throw new StatusError("Conflict", "the join token was used by another node just now");
  try {
    return await admit(options, request);
  } catch (error) {
    // The cluster is left as it was: the token can be used again.
    await options.backend.transact({
      compare: [{ key, operator: "=", target: "mod", number: used.revision }],
      success: [{ type: "put", key, value: encode(record) }],
      failure: [],
    });
    throw error;
  }
}

async function admit(options: ManagementOptions, request: JoinRequest): Promise<JoinAnswer> {
  const { authorities, settings } = options;
  const endpoints = await options.nodes.apiEndpoints();
  if (request.role === "worker") {
    const { name, address, certificateRequest = "" } = request;
    const wanted = { address, certificateRequest };
    const agentCertificate = await signAgent(authorities.cluster, name, wanted, options.nowMs());
    return {
      settings,
      endpoints,
      worker: { authorityCertificate: authorities.cluster.certificate, agentCertificate },
    };
  }
  // Signed before the admission: a bad request leaves no member behind.
  const pending = request.role === "witness" ? await signPeer(authorities.peer, request) : undefined;
  const grant = await options.membership.add({
    name: request.name,
    address: `${request.address}:${request.peerPort}`,
    apiAddress: request.role === "witness" ? "" : `${request.address}:${request.apiPort}`,
    failureDomain: request.failureDomain,
    witness: request.role === "witness",
  });
  if (pending !== undefined) return { settings, endpoints, witness: { ...pending, grant } };
  return { settings, endpoints, controlPlane: { authorities, grant } };
}

async function signPeer(authority: KeyAndCertificate, request: JoinRequest) {
  const peerCertificate = await signRequest(authority, request.certificateRequest ?? "", {
    commonName: request.name,
    organizations: [],
    hosts: [request.name, request.address, "trivet-replica"],
    usages: ["server", "client"],
    validDays: witnessDays,
  });
  return { peerAuthorityCertificate: authority.certificate, peerCertificate };
}

function checkJoinRequest(options: ManagementOptions, request: JoinRequest): void {
  if (typeof request.name !== "string" || !/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(request.name))
    throw new StatusError(
      "BadRequest",
      `"${request.name}" can't be a node's name: lower-case letters, digits, "-" and "." are allowed (choose one with --name)`,
    );
  for (const field of ["tokenId", "secret", "address", "version"] as const)
    if (typeof request[field] !== "string" || request[field] === "")
      throw new StatusError("BadRequest", `the join request has no ${field}`);
  if (isIP(request.address) === 0)
    throw new StatusError("BadRequest", `${JSON.stringify(request.address)} is no IP address`);
  for (const field of ["peerPort", "apiPort"] as const)
    if (!Number.isInteger(request[field]) || request[field] < 1 || request[field] > 65_535)
      throw new StatusError(
        "BadRequest",
        `the join request's ${field} is not a port: ${String(request[field])}`,
      );
  for (const field of ["failureDomain", "certificateRequest"] as const)
    if (typeof (request[field] ?? "") !== "string")
      throw new StatusError("BadRequest", `the join request's ${field} is no text`);
  if (request.version !== options.version)
    throw new StatusError(
      "BadRequest",
      `this node runs Trivet ${request.version} and the cluster runs ${options.version}: install the same version and join again`,
    );
}

async function removeNode(
  options: ManagementOptions,
  name: string,
  how: { force: boolean; leaving: boolean },
): Promise<{ removed: string }> {
  const members = await options.membership.members();
  const member = members.find((each) => each.name === name);
  if (member === undefined && !(await options.nodes.exists(name)))
    throw new StatusError("NotFound", `there is no node "${name}" in this cluster: see "trivet status"`);
  if (member?.online === true && !how.force && !how.leaving)
    throw new StatusError(
      "Conflict",
      `node "${name}" is online: run "trivet leave" there, or remove it all the same with "trivet remove-node ${name} --force"`,
    );
  if (member !== undefined) await options.membership.remove(member.id);
  await options.nodes.remove(name);
  return { removed: name };
}

async function removeEndedTokens(options: ManagementOptions, nowMs: number): Promise<void> {
  const { kvs } = await options.backend.range({ key: tokenPrefix, end: tokenPrefix.slice(0, -1) + "0" });
  const ended = kvs.filter((each) => decode(each.value).expiresAtMs < nowMs);
  if (ended.length === 0) return;
  await options.backend.transact({
    compare: [],
    success: ended.map((each) => ({ type: "delete", key: each.key })),
    failure: [],
  });
}

function parse<T extends object>(request: HttpRequest): T {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(request.body));
  } catch (cause) {
    throw new StatusError("BadRequest", "the request's body is not JSON", { cause });
  }
  if (typeof value !== "object" || value === null)
    throw new StatusError("BadRequest", "the request's body is no JSON object");
  return value as T;
}

function encode(record: TokenRecord): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(record));
}

function decode(value: Uint8Array): TokenRecord {
  return JSON.parse(new TextDecoder().decode(value)) as TokenRecord;
}

function json(status: number, value: unknown): HttpResponse {
  return {
    status,
    headers: { "content-type": "application/json" },
    body: new TextEncoder().encode(JSON.stringify(value)),
  };
}
