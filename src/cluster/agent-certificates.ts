/**
 * Certificates of workers' agents. A worker holds no authority: it gets its first certificate when it joins, and shows
 * it to any control-plane node to get the next one.
 */
import { isIP } from "node:net";
import { StatusError } from "#base/errors.ts";
import type { HttpUser } from "#base/http.ts";
import type { KeyAndCertificate } from "./certificates.ts";
import { signRequest } from "./certificates.ts";
import { leafDays } from "./pki.ts";

export interface AgentCertificateRequest {
  /** IP address of the worker. */
  address: string;
  /** PKCS#10 (PEM), signed by the agent's key. */
  certificateRequest: string;
}

export interface AgentCertificateAnswer {
  agentCertificate: string;
}

/** What signing again needs of the node that is asked. */
export interface AgentRenewalOptions {
  authorities: { cluster: KeyAndCertificate };
  nodes: { exists(name: string): Promise<boolean> };
  nowMs(): number;
}

/** The certificate (PEM) of the agent of the node of this name. */
export async function signAgent(
  authority: KeyAndCertificate,
  name: string,
  { address, certificateRequest }: AgentCertificateRequest,
  nowMs: number,
): Promise<string> {
  return signRequest(
    authority,
    certificateRequest,
    {
      commonName: `system:node:${name}`,
      organizations: ["system:nodes"],
      hosts: [name, address],
      usages: ["server", "client"],
      validDays: leafDays,
    },
    nowMs,
  );
}

/** Only for the caller's own name, and not for a node that was removed. */
export async function renewAgent(
  options: AgentRenewalOptions,
  user: HttpUser | undefined,
  request: AgentCertificateRequest,
): Promise<AgentCertificateAnswer> {
  const name = /^system:node:(.+)$/.exec(user?.name ?? "")?.[1];
  if (name === undefined || user?.groups.includes("system:nodes") !== true)
    throw new StatusError("Forbidden", "only a node can have its certificate renewed");
  if (!(await options.nodes.exists(name)))
    throw new StatusError("Forbidden", `there is no node "${name}" in this cluster any more`);
  if (isIP(request.address ?? "") === 0)
    throw new StatusError("BadRequest", "the request for a certificate has no address of the node");
  return { agentCertificate: await signAgent(options.authorities.cluster, name, request, options.nowMs()) };
}
