/** Limits, quotas and Pod Security Standards through a whole server, and quotas over two of them. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { MemoryBackend } from "#base/memory-backend.ts";
import type { ApiServer } from "../server.ts";
import { testServer } from "../server.test-suite.ts";

interface Result {
  status: number;
  message: string;
  warnings: string[];
  body: Record<string, unknown>;
}

describe("admission", () => {
  const backend = new MemoryBackend();
  const servers: ApiServer[] = [];

  before(async () => {
    for (let count = 0; count < 2; count++) {
      const server = testServer({ backend });
      await server.ready();
      servers.push(server);
    }
  });
  after(async () => {
    for (const server of servers) await server.close();
    await backend.close();
  });

  async function send(method: string, path: string, body: unknown, server = 0): Promise<Result> {
    const response = await (servers[server] as ApiServer).handler({
      method,
      path,
      query: "",
      headers: {
        accept: "application/json",
        "content-type": method === "PATCH" ? "application/merge-patch+json" : "application/json",
      },
      body: Buffer.from(JSON.stringify(body)),
      signal: new AbortController().signal,
      user: { name: "admin", groups: ["system:masters"] },
    });
    const answer = JSON.parse(Buffer.from(response.body as Uint8Array).toString("utf8")) as Result["body"];
    return {
      status: response.status,
      message: (answer["message"] as string | undefined) ?? "",
      warnings: [response.headers["warning"] ?? []].flat(),
      body: answer,
    };
  }

  async function namespace(name: string, labels: Record<string, string> = {}): Promise<string> {
    await send("POST", "/api/v1/namespaces", { metadata: { name, labels } });
    const path = `/api/v1/namespaces/${name}`;
    await send("POST", `${path}/serviceaccounts`, { metadata: { name: "default" } });
    return path;
  }

  const pod = (name: string, container: object = {}): object => ({
    metadata: { name },
    spec: { containers: [{ name: "c", image: "i", ...container }] },
  });

  test("a LimitRange fills in what is missing and refuses what is too much", async () => {
    const path = await namespace("limited");
    await send("POST", `${path}/limitranges`, {
      metadata: { name: "l" },
      spec: { limits: [{ type: "Container", max: { cpu: "1" }, default: { cpu: "500m" } }] },
    });
    const filled = await send("POST", `${path}/pods`, pod("filled"));
    const spec = filled.body["spec"] as { containers: { resources: unknown }[] };
    assert.deepEqual(spec.containers[0]?.resources, { limits: { cpu: "500m" }, requests: { cpu: "500m" } });
    const refused = await send("POST", `${path}/pods`, pod("big", { resources: { limits: { cpu: "2" } } }));
    assert.equal(refused.status, 403);
    assert.match(refused.message, /maximum cpu usage per Container is 1, but limit is 2$/);
  });

  test("two servers at once never give out more than a quota has", async () => {
    const path = await namespace("counted");
    const hard = { "count/configmaps": "5" };
    await send("POST", `${path}/resourcequotas`, { metadata: { name: "q" }, spec: { hard } });
    const unknown = await send("PATCH", `${path}/resourcequotas/q/status`, { status: { hard } });
    assert.equal(unknown.status, 200);
    const early = await send("POST", `${path}/configmaps`, { metadata: { name: "early" } });
    assert.match(early.message, /status unknown for quota: q, resources: count\/configmaps$/);
    const used = { "count/configmaps": "0" };
    await send("PATCH", `${path}/resourcequotas/q/status`, { status: { used } });
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        send("POST", `${path}/configmaps`, { metadata: { name: `c${index}` } }, index % 2),
      ),
    );
    assert.equal(results.filter((each) => each.status === 201).length, 5);
    const refused = results.find((each) => each.status !== 201);
    assert.match(refused?.message ?? "", /exceeded quota: q, requested: count\/configmaps=1, used: /);
  });

  test("a namespace's level refuses pods and warns about what makes them", async () => {
    const path = await namespace("secured", { "pod-security.kubernetes.io/enforce": "baseline" });
    const refused = await send("POST", `${path}/pods`, pod("p", { securityContext: { privileged: true } }));
    assert.match(refused.message, /violates PodSecurity "baseline:latest": privileged \(container "c"/);
    assert.equal((await send("POST", `${path}/pods`, pod("fine"))).status, 201);
    const job = await send("POST", "/apis/batch/v1/namespaces/secured/jobs", {
      metadata: { name: "j" },
      spec: {
        template: {
          spec: { hostPID: true, restartPolicy: "Never", containers: [{ name: "c", image: "i" }] },
        },
      },
    });
    assert.equal(job.status, 201);
    assert.match(job.warnings.join(), /would violate PodSecurity .*host namespaces \(hostPID=true\)/);
    const stricter = { metadata: { labels: { "pod-security.kubernetes.io/enforce": "restricted" } } };
    const changed = await send("PATCH", "/api/v1/namespaces/secured", stricter);
    assert.match(changed.warnings.join(), /fine: allowPrivilegeEscalation != false/);
  });

  test("a bound claim grows only where its class allows it", async () => {
    const path = `${await namespace("claims")}/persistentvolumeclaims`;
    const classes = "/apis/storage.k8s.io/v1/storageclasses";
    await send("POST", classes, { metadata: { name: "fixed" }, provisioner: "example.com/p" });
    const created = await send("POST", path, {
      metadata: { name: "c" },
      spec: {
        accessModes: ["ReadWriteOnce"],
        storageClassName: "fixed",
        resources: { requests: { storage: "1Gi" } },
      },
    });
    assert.equal(created.status, 201);
    await send("PATCH", `${path}/c/status`, { status: { phase: "Bound" } });
    const grown = { spec: { resources: { requests: { storage: "2Gi" } } } };
    const refused = await send("PATCH", `${path}/c`, grown);
    assert.match(refused.message, /the storageclass that provisions the pvc must support resize$/);
    await send("PATCH", `${classes}/fixed`, { allowVolumeExpansion: true });
    assert.equal((await send("PATCH", `${path}/c`, grown)).status, 200);
  });
});
