/**
 * The joining side: asks a cluster for admission and turns the answer into this node's identity and
 * key material. Nothing is written before the cluster has agreed.
 */
import type { X509Certificate } from "node:crypto";
import { existsSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import { join } from "node:path";
import { connect as tlsConnect } from "node:tls";
import { FatalError, StatusError } from "#base/errors.ts";
import { createRequest, fingerprint } from "./certificates.ts";
import type { NodeIdentity, NodePorts } from "./identity.ts";
import { writeIdentity } from "./identity.ts";
import type { JoinAnswer, JoinRequest } from "./management.ts";
import { createAuthorities, writeAuthorities, writeWitnessPki, writeWorkerPki } from "./pki.ts";
import type { Invitation, NodeRole } from "./token.ts";

const connectTimeoutMs = 5_000;
const answerTimeoutMs = 30_000;

export interface NewNode {
  dataDir: string;
  name: string;
  address: string;
  /** The address was chosen by the owner, not found. */
  addressGiven?: boolean;
  failureDomain: string;
  ports: NodePorts;
}

/** Makes the identity and keys of the first node of a new cluster. */
export async function createCluster(
  node: NewNode,
  settings: NodeIdentity["settings"],
): Promise<NodeIdentity> {
  const identity: NodeIdentity = {
    format: 1,
    name: node.name,
    role: "control-plane",
    address: node.address,
    ...(node.addressGiven === true ? { addressGiven: true } : {}),
    failureDomain: node.failureDomain,
    ports: node.ports,
    settings,
    endpoints: [],
    state: "creating",
  };
  requireNoDatastore(node.dataDir);
  // The identity last: what was interrupted before it counts as no node and is made anew.
  writeAuthorities(node.dataDir, await createAuthorities());
  writeIdentity(node.dataDir, identity);
  return identity;
}

/** Joins the cluster of the invitation and writes this node's files. Throws a StatusError with the cluster's or the network's one reason. */
export async function joinCluster(
  node: NewNode,
  invitation: Invitation,
  role: NodeRole,
  version: string,
): Promise<NodeIdentity> {
  requireNoDatastore(node.dataDir);
  const authorityCertificate = await fetchAuthority(invitation);
  const pending =
    role === "control-plane"
      ? undefined
      : await createRequest(role === "worker" ? `system:node:${node.name}` : node.name);
  const answer = await requestAdmission(invitation.endpoint, authorityCertificate, {
    tokenId: invitation.tokenId,
    secret: invitation.secret,
    name: node.name,
    role,
    address: node.address,
    peerPort: node.ports.peer,
    apiPort: node.ports.api,
    failureDomain: node.failureDomain,
    version,
    ...(pending === undefined ? {} : { certificateRequest: pending.request }),
  });
  const identity: NodeIdentity = {
    format: 1,
    name: node.name,
    role,
    address: node.address,
    ...(node.addressGiven === true ? { addressGiven: true } : {}),
    failureDomain: node.failureDomain,
    ports: node.ports,
    settings: answer.settings,
    endpoints: [...new Set([invitation.endpoint, ...answer.endpoints])],
    state: "creating",
    ...grantOf(answer),
  };
  if (answer.controlPlane !== undefined) writeAuthorities(node.dataDir, answer.controlPlane.authorities);
  if (answer.worker !== undefined && pending !== undefined)
    writeWorkerPki(node.dataDir, {
      authorityCertificate: answer.worker.authorityCertificate,
      agent: { key: pending.key, certificate: answer.worker.agentCertificate },
    });
  if (answer.witness !== undefined && pending !== undefined)
    writeWitnessPki(node.dataDir, {
      peerAuthorityCertificate: answer.witness.peerAuthorityCertificate,
      peer: { key: pending.key, certificate: answer.witness.peerCertificate },
    });
  writeIdentity(node.dataDir, identity);
  return identity;
}

function grantOf({ controlPlane, witness }: JoinAnswer): Pick<NodeIdentity, "grant"> {
  const grant = (controlPlane ?? witness)?.grant;
  return grant === undefined ? {} : { grant };
}

/** New keys beside an old datastore would make its data unreadable to everyone who trusts the old ones. */
export function requireNoDatastore(dataDir: string): void {
  if (existsSync(join(dataDir, "replica")))
    throw new FatalError(
      "badDataDir",
      `${dataDir} has a datastore but no node.json: restore node.json, or run "trivet reset --yes" to begin anew`,
    );
}

/** The authority's certificate that the endpoint presents, checked against the invitation's fingerprint. */
async function fetchAuthority(invitation: Invitation): Promise<string> {
  const [host = "", port = ""] = splitEndpoint(invitation.endpoint);
  return new Promise((resolve, reject) => {
    const socket = tlsConnect({
      host,
      port: Number(port),
      rejectUnauthorized: false,
      timeout: connectTimeoutMs,
    });
    const fail = (reason: string, cause?: unknown): void => {
      socket.destroy();
      reject(unreachable(invitation.endpoint, reason, cause));
    };
    socket.once("timeout", () => fail(`no answer within ${connectTimeoutMs / 1000} s`));
    socket.once("error", (cause) => fail(cause.message, cause));
    socket.once("secureConnect", () => {
      let certificate = socket.getPeerX509Certificate();
      while (certificate !== undefined && fingerprintOf(certificate) !== invitation.fingerprint)
        certificate = certificate.issuerCertificate;
      socket.destroy();
      if (certificate === undefined)
        reject(
          new StatusError(
            "Unauthorized",
            `${invitation.endpoint} is not the cluster that this invitation is for (its certificate authority has another fingerprint)`,
          ),
        );
      else resolve(certificate.toString());
    });
  });
}

async function requestAdmission(endpoint: string, ca: string, body: JoinRequest): Promise<JoinAnswer> {
  const [host = "", port = ""] = splitEndpoint(endpoint);
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      {
        host,
        port: Number(port),
        path: "/trivet/v1/join",
        method: "POST",
        ca,
        // The endpoint may be an address that the certificate doesn't list (NAT): the authority alone counts.
        checkServerIdentity: () => undefined,
        headers: { "content-type": "application/json" },
        timeout: answerTimeoutMs,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", (cause) => reject(unreachable(endpoint, cause.message, cause)));
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          try {
            const value = JSON.parse(text) as JoinAnswer & {
              message?: string;
              reason?: string;
              code?: number;
            };
            if (response.statusCode === 200) resolve(value);
            else reject(new StatusError("", value.message ?? text, { code: response.statusCode ?? 500 }));
          } catch (cause) {
            reject(
              unreachable(endpoint, `its answer is not JSON (HTTP status ${response.statusCode})`, cause),
            );
          }
        });
      },
    );
    request.on("timeout", () => request.destroy(new Error(`no answer within ${answerTimeoutMs / 1000} s`)));
    request.on("error", (cause) => reject(unreachable(endpoint, cause.message, cause)));
    request.end(JSON.stringify(body));
  });
}

function fingerprintOf(certificate: X509Certificate): string {
  return fingerprint(certificate.toString());
}

function unreachable(endpoint: string, reason: string, cause: unknown): StatusError {
  return new StatusError(
    "ServiceUnavailable",
    `the cluster can't be reached at ${endpoint}: ${reason}; check the address and that its node runs`,
    { cause },
  );
}

function splitEndpoint(endpoint: string): string[] {
  const colon = endpoint.lastIndexOf(":");
  return [endpoint.slice(0, colon).replace(/^\[|\]$/g, ""), endpoint.slice(colon + 1)];
}
