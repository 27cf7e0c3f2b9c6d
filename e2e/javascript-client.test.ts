/** Another real client, the official one for JavaScript: typed calls, patches, watches, informers. */
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { AppsV1Api, CoreV1Api, KubeConfig, makeInformer, VersionApi, Watch } from "@kubernetes/client-node";
import type { V1ConfigMap } from "@kubernetes/client-node";
import type { ApiOnly } from "../scripts/serve-api.ts";
import { startApiOnly } from "../scripts/serve-api.ts";
import { waitFor } from "./harness.ts";

const namespace = "default";

describe("the official JavaScript client", () => {
  const directory = mkdtempSync("/tmp/trivet-js-client-");
  const config = new KubeConfig();
  let server: ApiOnly;

  before(async () => {
    server = await startApiOnly({ directory, port: 0, serviceCidr: "10.43.0.0/16" });
    config.loadFromFile(server.kubeconfigPath);
  });
  after(async () => {
    await server.close();
    rmSync(directory, { recursive: true });
  });

  test("objects live from creation to deletion", async () => {
    assert.match((await config.makeApiClient(VersionApi).getCode()).gitVersion, /^v1\.32\.\d+\+trivet/);
    const core = config.makeApiClient(CoreV1Api);
    const created = await core.createNamespacedConfigMap({
      namespace,
      body: { metadata: { name: "client" }, data: { a: "1" } },
    });
    assert.ok(created.metadata?.creationTimestamp instanceof Date);
    created.data = { a: "2" };
    const replaced = await core.replaceNamespacedConfigMap({ name: "client", namespace, body: created });
    assert.notEqual(replaced.metadata?.resourceVersion, created.metadata.resourceVersion);
    await assert.rejects(
      core.replaceNamespacedConfigMap({ name: "client", namespace, body: created }),
      (error: { code: number; body: string }) =>
        error.code === 409 && /the object has been modified/.test(error.body),
    );
    await core.deleteNamespacedConfigMap({ name: "client", namespace });
    await assert.rejects(core.readNamespacedConfigMap({ name: "client", namespace }), { code: 404 });
  });

  test("typed specs round-trip with defaults", async () => {
    const apps = config.makeApiClient(AppsV1Api);
    const labels = { app: "typed" };
    const deployment = await apps.createNamespacedDeployment({
      namespace,
      body: {
        metadata: { name: "typed" },
        spec: {
          selector: { matchLabels: labels },
          template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "i" }] } },
        },
      },
    });
    assert.equal(deployment.spec?.replicas, 1);
    assert.equal(deployment.spec?.template.spec?.restartPolicy, "Always");
    const { items } = await apps.listNamespacedDeployment({ namespace, labelSelector: "app=none" });
    assert.deepEqual(items, []);
    await apps.deleteNamespacedDeployment({ name: "typed", namespace });
  });

  test("a watch and an informer see every change in order", async () => {
    const core = config.makeApiClient(CoreV1Api);
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const seen: string[] = [];
    const abort = await new Watch(config).watch(
      path,
      { labelSelector: "watched=yes" },
      (type, object: V1ConfigMap) =>
        seen.push(`${type} ${object.metadata?.name ?? ""} ${object.data?.["n"] ?? ""}`),
      () => undefined,
    );
    const informed = new Map<string, string | undefined>();
    const informer = makeInformer(config, path, () => core.listNamespacedConfigMap({ namespace }));
    informer.on("add", (object) => informed.set(object.metadata?.name ?? "", object.data?.["n"]));
    informer.on("update", (object) => informed.set(object.metadata?.name ?? "", object.data?.["n"]));
    informer.on("delete", (object) => informed.delete(object.metadata?.name ?? ""));
    await informer.start();
    try {
      const body = { metadata: { name: "w", labels: { watched: "yes" } }, data: { n: "1" } };
      await core.createNamespacedConfigMap({ namespace, body });
      await core.replaceNamespacedConfigMap({ name: "w", namespace, body: { ...body, data: { n: "2" } } });
      await waitFor("the informer's copy", 5_000, () => informed.get("w") === "2");
      await core.deleteNamespacedConfigMap({ name: "w", namespace });
      await waitFor("the deletion", 5_000, () => seen.length === 3 && !informed.has("w"));
      assert.deepEqual(seen, ["ADDED w 1", "MODIFIED w 2", "DELETED w 2"]);
    } finally {
      abort.abort();
      await informer.stop();
    }
  });
});
