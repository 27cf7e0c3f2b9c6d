/** `trivet demo`: a small web application, made on this machine, that needs no image registry. */
import { request as httpRequest } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { StatusError } from "#base/errors.ts";
import { createClient } from "#client/client.ts";
import { httpsTransport } from "#client/https-transport.ts";
import { readKubeconfig } from "#client/kubeconfig.ts";
import type { Client, ResourceName } from "#client/types.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { CommandContext } from "./context.ts";
import { kubeconfigPath } from "./management-client.ts";
import { requireNode } from "./node-commands.ts";
import { findNode } from "./process-control.ts";
import { parseTimeoutMs } from "./system.ts";

/** The image that every node makes when it starts. */
export const demoImage = "trivet.local/demo:0.1";

const deployments: ResourceName = { group: "apps", version: "v1", plural: "deployments" };
const services: ResourceName = { group: "", version: "v1", plural: "services" };
const nodes: ResourceName = { group: "", version: "v1", plural: "nodes" };
const name = "trivet-demo";
const namespace = "default";
const labels = { app: name };
const replicas = 3;

const deployment: KubeObject = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name, namespace, labels },
  spec: {
    replicas,
    selector: { matchLabels: labels },
    template: {
      metadata: { labels },
      spec: {
        terminationGracePeriodSeconds: 2,
        containers: [
          {
            name: "web",
            image: demoImage,
            imagePullPolicy: "IfNotPresent",
            ports: [{ name: "http", containerPort: 8080 }],
            readinessProbe: { httpGet: { path: "/", port: "http" }, periodSeconds: 2 },
            resources: { requests: { cpu: "10m", memory: "8Mi" }, limits: { memory: "32Mi" } },
          },
        ],
      },
    },
  },
};

const service: KubeObject = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace, labels },
  spec: { type: "NodePort", selector: labels, ports: [{ name: "http", port: 80, targetPort: "http" }] },
};

export async function demoCommand(
  context: CommandContext,
  flags: { dataDir: string; kubeconfig?: string; remove?: boolean; timeout: string },
): Promise<void> {
  if (flags.kubeconfig === undefined) {
    requireNode(flags.dataDir);
    if (findNode(flags.dataDir) === undefined)
      throw new Error(`the node is not running: start it with "trivet start"`);
  }
  const timeoutMs = parseTimeoutMs(flags.timeout);
  const transport = httpsTransport(
    readKubeconfig(flags.kubeconfig ?? kubeconfigPath(flags.dataDir)).transport,
  );
  const client = createClient({ transport: transport.handler, userAgent: `trivet-cli/${context.version}` });
  try {
    if (flags.remove === true) await remove(context, client);
    else await deploy(context, client, Date.now() + timeoutMs);
  } finally {
    await transport.close();
  }
}

async function deploy(context: CommandContext, client: Client, deadlineMs: number): Promise<void> {
  await context.progress.step(`deployment ${name} with ${replicas} replicas`, () =>
    ensure(client, deployments, deployment),
  );
  await context.progress.step(`service ${name}`, () => ensure(client, services, service));
  await context.progress.step("waiting until all replicas are ready", async (report) => {
    let last = "";
    for (;;) {
      const current = await client.get<KubeObject>(deployments, namespace, name);
      const ready = (current["status"] as { readyReplicas?: number } | undefined)?.readyReplicas ?? 0;
      if (ready >= replicas) return `${ready} of ${replicas} ready`;
      if (Date.now() > deadlineMs)
        throw new Error(
          `only ${ready} of ${replicas} replicas became ready: see "trivet kubectl describe pods -l app=${name}"`,
        );
      const text = `${ready} of ${replicas} ready`;
      if (text !== last) report((last = text));
      await delay(200);
    }
  });
  const url = await findUrl(client);
  await context.progress.step(`asking ${url} until every replica has answered`, async () => {
    const answers = new Set<string>();
    while (answers.size < replicas) {
      if (Date.now() > deadlineMs)
        throw new Error(`only ${answers.size} of ${replicas} replicas answered at ${url}`);
      const text = await fetchText(url).catch(() => "");
      const pod = /trivet-demo-[a-z0-9]+-[a-z0-9]+/.exec(text)?.[0];
      if (pod === undefined) await delay(200);
      else answers.add(pod);
    }
    return [...answers].join(", ");
  });
  context.print(`\nThe demo answers at ${url}\nRemove it with: ${context.launcher} demo --remove`);
}

async function remove(context: CommandContext, client: Client): Promise<void> {
  for (const [title, resource] of [
    ["service", services],
    ["deployment", deployments],
  ] as const)
    await context.progress.step(`removing ${title} ${name}`, async () => {
      try {
        await client.delete(resource, namespace, name);
        return "removed";
      } catch (error) {
        if (error instanceof StatusError && error.code === 404) return "is not there";
        throw error;
      }
    });
}

async function ensure(client: Client, resource: ResourceName, object: KubeObject): Promise<string> {
  try {
    await client.create(resource, object);
    return "created";
  } catch (error) {
    if (error instanceof StatusError && error.reason === "AlreadyExists") return "already there";
    throw error;
  }
}

async function findUrl(client: Client): Promise<string> {
  const found = await client.get<KubeObject & { spec: { ports: { nodePort: number }[] } }>(
    services,
    namespace,
    name,
  );
  const list = await client.list<
    KubeObject & { status: { addresses?: { type: string; address: string }[] } }
  >(nodes);
  const address =
    list.items[0]?.status.addresses?.find((each) => each.type === "InternalIP")?.address ?? "127.0.0.1";
  return `http://${address}:${found.spec.ports[0]?.nodePort ?? 0}/`;
}

/** A new connection per request, so that the service proxy chooses anew. */
async function fetchText(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { agent: false, timeout: 2_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve(Buffer.concat(chunks).toString("utf8")));
      response.on("error", reject);
    });
    request.on("timeout", () => request.destroy(new Error("no answer within 2 s")));
    request.on("error", reject);
    request.end();
  });
}
