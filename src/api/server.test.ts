import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { HttpResponse, HttpUser } from "#base/http.ts";
import { MemoryBackend } from "#base/memory-backend.ts";
import type { ApiServer } from "./server.ts";
import { testServer } from "./server.test-suite.ts";

const admin: HttpUser = { name: "admin", groups: ["system:masters"] };
interface Call {
  user?: HttpUser | undefined;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

function send(
  api: ApiServer,
  method: string,
  target: string,
  body?: unknown,
  call: Call = {},
): Promise<HttpResponse> {
  const [path = "", query = ""] = target.split("?");
  const user = "user" in call ? call.user : admin;
  return api.handler({
    method,
    path,
    query,
    headers: {
      accept: "application/json",
      "content-type": "application/json",
      "user-agent": "unit/1",
      ...call.headers,
    },
    body: body === undefined ? new Uint8Array() : Buffer.from(JSON.stringify(body)),
    signal: call.signal ?? new AbortController().signal,
    ...(user === undefined ? {} : { user }),
  });
}

// oxlint-disable-next-line typescript/no-explicit-any -- answers of every shape
async function json(response: Promise<HttpResponse>): Promise<{ status: number; body: any }> {
  const { status, body } = await response;
  return { status, body: JSON.parse(Buffer.from(body as Uint8Array).toString("utf8")) };
}

const configMaps = "/api/v1/namespaces/default/configmaps";
const configMap = (name: string, data: Record<string, string> = {}): object => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name },
  data,
});

describe("API server over the memory backend", () => {
  const backend = new MemoryBackend();
  let api: ApiServer;
  let second: ApiServer;

  before(async () => {
    api = testServer({ backend });
    second = testServer({ backend });
    await api.ready();
    await second.ready();
  });
  after(async () => {
    await api.close();
    await second.close();
    await backend.close();
  });

  test("an object is created, read on another server, changed, and deleted", async () => {
    const created = await json(send(api, "POST", configMaps, configMap("one", { k: "v" })));
    assert.equal(created.status, 201);
    const version = created.body.metadata.resourceVersion as string;
    assert.match(version, /^\d+$/);
    const read = await json(send(second, "GET", `${configMaps}/one`));
    assert.deepEqual(read.body, created.body);

    const stale = await json(
      send(api, "PUT", `${configMaps}/one`, {
        ...created.body,
        metadata: { ...created.body.metadata, resourceVersion: "1" },
      }),
    );
    assert.equal(stale.status, 409);
    const changed = await json(
      send(second, "PUT", `${configMaps}/one`, { ...created.body, data: { k: "w" } }),
    );
    assert.equal(changed.status, 200);
    assert.notEqual(changed.body.metadata.resourceVersion, version);
    const same = await json(send(api, "PUT", `${configMaps}/one`, changed.body));
    assert.equal(
      same.body.metadata.resourceVersion,
      changed.body.metadata.resourceVersion,
      "no write for no change",
    );

    assert.equal((await json(send(api, "DELETE", `${configMaps}/one`))).body.status, "Success");
    const gone = await json(send(second, "GET", `${configMaps}/one`));
    assert.equal(gone.body.message, 'configmaps "one" not found');
  });

  test("a list in pages is one consistent state", async () => {
    for (const name of ["p1", "p2", "p3"]) {
      await send(api, "POST", configMaps, {
        ...configMap(name),
        metadata: { name, labels: { page: "yes" } },
      });
    }
    const first = await json(send(api, "GET", `${configMaps}?labelSelector=page%3Dyes&limit=2`));
    assert.deepEqual(
      first.body.items.map((each: { metadata: { name: string } }) => each.metadata.name),
      ["p1", "p2"],
    );
    await send(api, "DELETE", `${configMaps}/p3`);
    const token = encodeURIComponent(first.body.metadata.continue as string);
    const rest = await json(send(second, "GET", `${configMaps}?labelSelector=page%3Dyes&continue=${token}`));
    assert.deepEqual(
      rest.body.items.map((each: { metadata: { name: string } }) => each.metadata.name),
      ["p3"],
    );
    assert.equal(rest.body.metadata.resourceVersion, first.body.metadata.resourceVersion);
  });

  test("a custom resource without a selector path has a Scale without a selector", async () => {
    const schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
    const scale = { specReplicasPath: ".spec.r", statusReplicasPath: ".status.r" };
    await send(api, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
      metadata: { name: "ws.ex.io" },
      spec: {
        group: "ex.io",
        scope: "Namespaced",
        names: { plural: "ws", kind: "W" },
        versions: [
          {
            name: "v1",
            served: true,
            storage: true,
            subresources: { scale },
            schema: { openAPIV3Schema: schema },
          },
        ],
      },
    });
    const objects = "/apis/ex.io/v1/namespaces/default/ws";
    const object = { apiVersion: "ex.io/v1", kind: "W", metadata: { name: "w" }, spec: { r: 2 } };
    const untilMs = Date.now() + 5_000;
    while ((await send(api, "POST", objects, object)).status === 404 && Date.now() < untilMs)
      await new Promise((resolve) => setImmediate(resolve));
    const read = await json(send(api, "GET", `${objects}/w/scale`));
    assert.deepEqual(read.body.spec, { replicas: 2 });
    assert.deepEqual(read.body.status, { replicas: 0 });
  });

  test("a page whose list has been compacted goes on with a token for what is there now", async () => {
    for (const name of ["old-1", "old-2", "old-3"])
      await send(api, "POST", configMaps, { ...configMap(name), metadata: { name, labels: { old: "yes" } } });
    const list = `${configMaps}?labelSelector=old%3Dyes`;
    const first = await json(send(api, "GET", `${list}&limit=1`));
    await send(api, "DELETE", `${configMaps}/old-2`);
    await backend.compact((await backend.status()).revision);
    const next = encodeURIComponent(first.body.metadata.continue as string);
    const expired = await json(send(api, "GET", `${list}&limit=1&continue=${next}`));
    assert.equal(expired.status, 410);
    assert.equal(expired.body.reason, "Expired");
    const usable = encodeURIComponent(expired.body.metadata.continue as string);
    const rest = await json(send(api, "GET", `${list}&limit=1&continue=${usable}`));
    assert.deepEqual(
      rest.body.items.map((each: { metadata: { name: string } }) => each.metadata.name),
      ["old-3"],
    );
  });

  test("a watch shows what came after a version, and ends when its reader leaves", async () => {
    const list = await json(send(api, "GET", configMaps));
    const abort = new AbortController();
    const watch = await send(
      second,
      "GET",
      `${configMaps}?watch=1&resourceVersion=${list.body.metadata.resourceVersion}`,
      undefined,
      { signal: abort.signal },
    );
    await send(api, "POST", configMaps, configMap("watched"));
    await send(api, "DELETE", `${configMaps}/watched`);
    const types: string[] = [];
    for await (const chunk of watch.body as AsyncIterable<Uint8Array>) {
      types.push((JSON.parse(Buffer.from(chunk).toString("utf8")) as { type: string }).type);
      if (types.length === 2) abort.abort();
    }
    assert.deepEqual(types, ["ADDED", "DELETED"]);
  });

  test("a watch from a version that is compacted gets an Expired error", async () => {
    const before = await json(send(api, "GET", configMaps));
    for (let count = 0; count < 2100; count++) {
      await send(
        api,
        "PATCH",
        `${configMaps}/busy`,
        { data: { k: String(count) } },
        { headers: { "content-type": "application/merge-patch+json" } },
      );
      if (count === 0) await send(api, "POST", configMaps, configMap("busy"));
    }
    const now = Number((await json(send(api, "GET", configMaps))).body.metadata.resourceVersion);
    await backend.compact(now - 5);
    const watch = await send(
      api,
      "GET",
      `${configMaps}?watch=1&resourceVersion=${before.body.metadata.resourceVersion}`,
    );
    const events: { type: string; object: { reason?: string } }[] = [];
    for await (const chunk of watch.body as AsyncIterable<Uint8Array>)
      events.push(JSON.parse(Buffer.from(chunk).toString("utf8")));
    assert.deepEqual(
      events.map((each) => [each.type, each.object.reason]),
      [["ERROR", "Expired"]],
    );
  });

  test("who has no right is refused in upstream's words; a binding gives it", async () => {
    const alice: HttpUser = { name: "alice", groups: [] };
    const refused = await json(send(api, "GET", configMaps, undefined, { user: alice }));
    assert.equal(refused.status, 403);
    assert.equal(
      refused.body.message,
      'configmaps is forbidden: User "alice" cannot list resource "configmaps" in API group "" in the namespace "default"',
    );
    const bound = await json(
      send(api, "POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", {
        metadata: { name: "alice-views" },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "view" },
        subjects: [{ kind: "User", apiGroup: "rbac.authorization.k8s.io", name: "alice" }],
      }),
    );
    assert.equal(bound.status, 201);
    assert.equal((await send(api, "GET", configMaps, undefined, { user: alice })).status, 200);
    assert.equal((await send(api, "POST", configMaps, configMap("no"), { user: alice })).status, 403);
  });

  test("a service account's token authenticates until the account is gone", async () => {
    const accounts = "/api/v1/namespaces/default/serviceaccounts";
    await send(api, "POST", accounts, { metadata: { name: "bot" } });
    const answer = await json(send(api, "POST", `${accounts}/bot/token`, { spec: {} }));
    assert.equal(answer.status, 201);
    const headers = { authorization: `Bearer ${answer.body.status.token as string}` };
    const review = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    const me = await json(send(api, "POST", review, {}, { user: undefined, headers }));
    assert.equal(me.body.status.userInfo.username, "system:serviceaccount:default:bot");
    await send(api, "DELETE", `${accounts}/bot`);
    assert.equal((await send(api, "POST", review, {}, { user: undefined, headers })).status, 401);
  });

  test("a node reads what its network needs and publishes its own part of the DNS Service only", async () => {
    const user = { name: "system:node:w1", groups: ["system:nodes", "system:authenticated"] };
    const slices = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices";
    const slice = (name: string, service: string): object => ({
      metadata: { name, labels: { "kubernetes.io/service-name": service } },
      addressType: "IPv4",
      endpoints: [],
      ports: [],
    });
    const status = async (method: string, path: string, body?: unknown): Promise<number> =>
      (await send(api, method, path, body, { user })).status;
    assert.equal(await status("GET", "/apis/discovery.k8s.io/v1/endpointslices"), 200);
    assert.equal(await status("GET", "/apis/networking.k8s.io/v1/networkpolicies"), 200);
    assert.equal(await status("POST", slices, slice("kube-dns-w1", "kube-dns")), 201);
    assert.equal(await status("POST", slices, slice("kube-dns-w2", "kube-dns")), 403);
    assert.equal(await status("POST", slices, slice("kube-dns-w1", "metrics")), 403);
    const elsewhere = slices.replace("kube-system", "default");
    assert.equal(await status("POST", elsewhere, slice("kube-dns-w1", "kube-dns")), 403);
  });

  test("two servers never hand out the same address or node port", async () => {
    const services = "/api/v1/namespaces/default/services";
    const make = (server: ApiServer, name: string): ReturnType<typeof json> =>
      json(
        send(server, "POST", services, {
          metadata: { name },
          spec: { type: "NodePort", ports: [{ port: 80 }] },
        }),
      );
    const made = await Promise.all(
      Array.from({ length: 40 }, (_each, index) => make(index % 2 === 0 ? api : second, `s${index}`)),
    );
    assert.deepEqual([...new Set(made.map((each) => each.status))], [201]);
    assert.equal(new Set(made.map((each) => each.body.spec.clusterIP)).size, 40);
    assert.equal(new Set(made.map((each) => each.body.spec.ports[0].nodePort)).size, 40);
    const taken = made[0]?.body.spec.clusterIP as string;
    const refused = await json(
      send(second, "POST", services, {
        metadata: { name: "same" },
        spec: { clusterIP: taken, ports: [{ port: 80 }] },
      }),
    );
    assert.equal(refused.status, 422);
    await send(api, "DELETE", `${services}/s0`);
    const again = await json(
      send(second, "POST", services, {
        metadata: { name: "same" },
        spec: { clusterIP: taken, ports: [{ port: 80 }] },
      }),
    );
    assert.equal(again.status, 201);
  });

  test("a fenced write of another term is refused", async () => {
    const refused = await json(
      send(api, "POST", configMaps, configMap("fenced"), { headers: { "trivet-fence-term": "99" } }),
    );
    assert.equal(refused.status, 409);
    assert.match(refused.body.message as string, /^fenced/);
  });
});
