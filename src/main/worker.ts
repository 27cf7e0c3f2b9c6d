/** A worker: the node's own components, speaking with the control-plane nodes over HTTPS. */
import type { Logger } from "#base/ports.ts";
import { createClient } from "#client/client.ts";
import { httpsTransport } from "#client/https-transport.ts";
import type { NodeIdentity } from "#cluster/identity.ts";
import { writeIdentity } from "#cluster/identity.ts";
import { readWorkerPki } from "#cluster/pki.ts";
import { startNodeComponents } from "./node-components.ts";
import { nodePaths } from "./paths.ts";
import type { Running } from "./serve.ts";
import { version } from "#base/version.ts";

export async function startWorker(dataDir: string, identity: NodeIdentity, logger: Logger): Promise<Running> {
  const pki = readWorkerPki(dataDir);
  const transport = httpsTransport({
    endpoints: () => identity.endpoints,
    ca: pki.authorityCertificate,
    cert: pki.agent.certificate,
    key: pki.agent.key,
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
    logger,
  });
  if (identity.state === "creating") writeIdentity(dataDir, { ...identity, state: "ready" });
  return {
    async close() {
      await components.close();
      await transport.close();
    },
  };
}
