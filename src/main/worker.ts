/** A worker: the node's own components, speaking with the control-plane nodes over HTTPS. */
import type { HttpHandler, HttpResponse } from "#base/http.ts";
import type { Logger } from "#base/ports.ts";
import { createClient } from "#client/client.ts";
import { httpsTransport } from "#client/https-transport.ts";
import { systemClock } from "#client/system-clock.ts";
import type { AgentCertificateAnswer, AgentCertificateRequest } from "#cluster/agent-certificates.ts";
import { isDue, requestForKey } from "#cluster/certificates.ts";
import type { NodeIdentity } from "#cluster/identity.ts";
import { writeIdentity } from "#cluster/identity.ts";
import type { WorkerPki } from "#cluster/pki.ts";
import { readWorkerPki, writeWorkerPki } from "#cluster/pki.ts";
import { keepCertificates } from "./certificate-keeper.ts";
import { startNodeComponents } from "./node-components.ts";
import { nodePaths } from "./paths.ts";
import type { Running } from "./serve.ts";
import { version } from "#base/version.ts";

const renewalTimeoutMs = 30_000;

export async function startWorker(dataDir: string, identity: NodeIdentity, logger: Logger): Promise<Running> {
  let pki = readWorkerPki(dataDir);
  const transport = httpsTransport({
    endpoints: () => identity.endpoints,
    ca: pki.authorityCertificate,
    cert: () => pki.agent.certificate,
    key: () => pki.agent.key,
    serverName: "kubernetes",
  });
  const client = createClient({ transport: transport.handler, userAgent: `trivet-worker/${version}` });
  const components = await startNodeComponents({
    identity,
    paths: nodePaths(dataDir),
    agentClient: client,
    systemClient: client,
    agentCertificate: pki.agent,
    authorityCertificate: pki.authorityCertificate,
    labels: {},
    isSeenByPeers: false,
    logger,
  });
  const certificates = keepCertificates({
    clock: systemClock,
    logger,
    renew: async (nowMs) => {
      const next = await renewWorker(pki, identity, transport.handler, nowMs);
      if (next === undefined) return [];
      writeWorkerPki(dataDir, next);
      pki = next;
      components.setAgentCertificate(pki.agent);
      return ["agent"];
    },
  });
  if (identity.state === "creating") writeIdentity(dataDir, { ...identity, state: "ready" });
  return {
    async close() {
      await certificates.close();
      await components.close();
      await transport.close();
    },
  };
}

/** The key stays, so that a crash while the files are written leaves a pair that fits. Undefined: nothing is due. */
export async function renewWorker(
  pki: WorkerPki,
  { name, address }: Pick<NodeIdentity, "name" | "address">,
  api: HttpHandler,
  nowMs: number,
): Promise<WorkerPki | undefined> {
  const { authorityCertificate, agent } = pki;
  if (!isDue(agent.certificate, authorityCertificate, nowMs)) return undefined;
  const certificateRequest = await requestForKey(`system:node:${name}`, agent.key);
  const request: AgentCertificateRequest = { address, certificateRequest };
  const response = await api({
    method: "POST",
    path: "/trivet/v1/certificates",
    query: "",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: new TextEncoder().encode(JSON.stringify(request)),
    signal: AbortSignal.timeout(renewalTimeoutMs),
  });
  const text = await textOf(response);
  if (response.status !== 200) throw new Error(`the cluster gave no new certificate: ${text}`);
  const { agentCertificate } = JSON.parse(text) as AgentCertificateAnswer;
  return { authorityCertificate, agent: { key: agent.key, certificate: agentCertificate } };
}

async function textOf({ body }: HttpResponse): Promise<string> {
  if (body instanceof Uint8Array) return new TextDecoder().decode(body);
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
