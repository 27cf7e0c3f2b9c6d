/** What a worker knows of itself: it has no API of its own, so it asks a control-plane node, as itself, for its Node. */
import { StatusError } from "#base/errors.ts";
import { createClient } from "#client/client.ts";
import { httpsTransport } from "#client/https-transport.ts";
import type { ResourceName } from "#client/types.ts";
import type { NodeIdentity } from "#cluster/identity.ts";
import { readWorkerPki } from "#cluster/pki.ts";
import type { KubeObject } from "#kinds/object.ts";

const nodes: ResourceName = { group: "", version: "v1", plural: "nodes" };

interface NodeObject extends KubeObject {
  status?: { conditions?: { type: string; status: string; message?: string }[] };
}

/** Why the worker is not Ready; empty when it is. */
export async function workerNotReadyReason(dataDir: string, identity: NodeIdentity): Promise<string> {
  const pki = readWorkerPki(dataDir);
  const transport = httpsTransport({
    endpoints: identity.endpoints,
    ca: pki.authorityCertificate,
    cert: pki.agent.certificate,
    key: pki.agent.key,
    serverName: "kubernetes",
  });
  try {
    const client = createClient({ transport: transport.handler, userAgent: "trivet-status" });
    const node = await client.get<NodeObject>(nodes, undefined, identity.name);
    const ready = node.status?.conditions?.find((each) => each.type === "Ready");
    return ready?.status === "True" ? "" : (ready?.message ?? "the node is not Ready");
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    return error.reason === "NotFound" ? "the node has not registered yet" : error.message;
  } finally {
    await transport.close();
  }
}
