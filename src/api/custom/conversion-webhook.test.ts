import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { MemoryBackend } from "#base/memory-backend.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { ApiServer } from "#api/server.ts";
import { testServer } from "#api/server.test-suite.ts";
import { convertedDefinition, startConversionServer } from "./conversion-server.test-suite.ts";
import type { ConversionServer } from "./conversion-server.test-suite.ts";
import type { CustomResourceDefinition } from "./definition.ts";
import { withDefinitionDefaults } from "./definition-strategy.ts";
import { validateDefinition } from "./validate-definition.ts";

const admin = { name: "admin", groups: ["system:masters"] };
const v1 = "/apis/example.com/v1/namespaces/default/addresses";
const v2 = "/apis/example.com/v2/namespaces/default/addresses";
const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const mergePatch = "application/merge-patch+json";
const applyPatch = "application/apply-patch+yaml";

const backend = new MemoryBackend();
let api: ApiServer;
let hook: ConversionServer;

interface Reply {
  status: number;
  body: Record<string, unknown> & { items?: KubeObject[]; message?: string };
}

async function call(
  method: string,
  target: string,
  body?: unknown,
  type = "application/json",
): Promise<Reply> {
  const [path = "", query = ""] = target.split("?");
  const response = await api.handler({
    method,
    path,
    query,
    headers: { "content-type": type },
    body: body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body)),
    signal: new AbortController().signal,
    user: admin,
  });
  const text = Buffer.from(response.body as Uint8Array).toString("utf8");
  return { status: response.status, body: JSON.parse(text) as Reply["body"] };
}

function address(version: "v1" | "v2", name: string, spec: Record<string, unknown>): KubeObject {
  return { apiVersion: `example.com/${version}`, kind: "Address", metadata: { name }, spec };
}

/** What a definition's webhook is known to be once objects are there. */
async function serve(definition: KubeObject): Promise<void> {
  await call("POST", definitions, definition);
  await until(async () => (await call("GET", v2)).status === 200);
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 5_000;
  while (!(await isTrue())) {
    assert.ok(Date.now() < end, "the condition became true in time");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Reads events of a watch until there are `count`. */
async function events(
  target: string,
  count: number,
  meanwhile: () => Promise<unknown>,
): Promise<{ type: string; object: KubeObject }[]> {
  const [path = "", query = ""] = target.split("?");
  const ending = new AbortController();
  const response = await api.handler({
    method: "GET",
    path,
    query: `watch=true&${query}`,
    headers: {},
    body: Buffer.alloc(0),
    signal: ending.signal,
    user: admin,
  });
  await meanwhile();
  const found: { type: string; object: KubeObject }[] = [];
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    for (const line of Buffer.from(chunk).toString("utf8").split("\n").filter(Boolean))
      found.push(JSON.parse(line) as (typeof found)[number]);
    if (found.length >= count) break;
  }
  ending.abort();
  return found;
}

before(async () => {
  hook = await startConversionServer();
  api = testServer({ backend });
  await api.ready();
  await serve(
    convertedDefinition({ url: `https://127.0.0.1:${hook.port}/convert`, caBundle: hook.caBundle }),
  );
});

after(async () => {
  await api.close();
  hook.close();
});

test("what is written in one version is read in the other", async () => {
  const created = await call("POST", v2, address("v2", "a", { address: "db:5432" }));
  assert.equal(created.status, 201);
  assert.deepEqual(created.body["spec"], { address: "db:5432" });
  assert.equal(created.body["apiVersion"], "example.com/v2");
  const stored = await call("GET", `${v1}/a`);
  assert.deepEqual(stored.body["spec"], { host: "db", port: 5432 });
  const meta = (reply: Reply) => (reply.body as unknown as KubeObject).metadata;
  assert.equal(meta(stored).uid, meta(created).uid);
  assert.equal(meta(stored).resourceVersion, meta(created).resourceVersion);

  await call("PATCH", `${v2}/a`, { spec: { address: "db:5433" } }, mergePatch);
  assert.deepEqual((await call("GET", `${v1}/a`)).body["spec"], { host: "db", port: 5433 });
  await call("PATCH", `${v1}/a`, { spec: { port: 1 } }, mergePatch);
  assert.deepEqual((await call("GET", `${v2}/a`)).body["spec"], { address: "db:1" });
  const current = await call("GET", `${v2}/a`);
  const put = await call("PUT", `${v2}/a`, { ...current.body, spec: { address: "web:80" } });
  assert.equal(put.status, 200);
  assert.equal(meta(put).generation, 4);
  assert.deepEqual((await call("GET", `${v1}/a`)).body["spec"], { host: "web", port: 80 });
  const status = await call("PATCH", `${v2}/a/status`, { status: { ok: true } }, mergePatch);
  assert.deepEqual(status.body["status"], { ok: true });
  const removed = await call("DELETE", `${v2}/a`);
  assert.equal(removed.status, 200);
});

test("server-side apply in the version that is not stored", async () => {
  const target = `${v2}/applied?fieldManager=test`;
  const made = await call("PATCH", target, address("v2", "applied", { address: "x:1" }), applyPatch);
  assert.equal(made.status, 201);
  const again = await call("PATCH", target, address("v2", "applied", { address: "x:2" }), applyPatch);
  assert.equal(again.status, 200);
  assert.deepEqual(again.body["spec"], { address: "x:2" });
  const same = await call("PATCH", target, address("v2", "applied", { address: "x:2" }), applyPatch);
  assert.deepEqual(same.body["metadata"], again.body["metadata"], "nothing has changed");
  const other = `${v2}/applied?fieldManager=other`;
  const conflict = await call("PATCH", other, address("v2", "applied", { address: "x:3" }), applyPatch);
  assert.equal(conflict.status, 409);
  await call("DELETE", `${v1}/applied`);
});

test("a list is one question, and its answer is remembered", async () => {
  for (let index = 0; index < 20; index++)
    await call("POST", v1, address("v1", `list-${index}`, { host: `h${index % 2}`, port: index }));
  hook.reviews.length = 0;
  const list = await call("GET", v2);
  assert.equal(list.body.items?.length, 20);
  assert.deepEqual(list.body.items?.[0]?.["spec"], { address: "h0:0" });
  assert.deepEqual(hook.reviews, [{ desired: "example.com/v2", count: 20 }]);
  await call("GET", v2);
  await call("GET", `${v2}/list-3`);
  assert.equal(hook.reviews.length, 1);
  const page = await call("GET", `${v2}?limit=5`);
  assert.equal(page.body.items?.length, 5);
  const selected = await call("GET", `${v2}?fieldSelector=spec.address%3Dh1:7`);
  assert.deepEqual(
    selected.body.items?.map((each) => each.metadata.name),
    ["list-7"],
  );
  const mine = await call("GET", `${v1}?fieldSelector=spec.host%3Dh1`);
  assert.equal(mine.body.items?.length, 10);
  await call("DELETE", v2);
  assert.equal((await call("GET", v1)).body.items?.length, 0);
});

test("a watch shows every change in its version, in order", async () => {
  const found = await events(v2, 7, async () => {
    await call("POST", v1, address("v1", "w", { host: "h", port: 1 }));
    for (let port = 2; port <= 6; port++) await call("PATCH", `${v1}/w`, { spec: { port } }, mergePatch);
    await call("DELETE", `${v1}/w`);
  });
  assert.deepEqual(
    found.map((each) => `${each.type} ${(each.object["spec"] as { address: string }).address}`),
    ["ADDED h:1", ...[2, 3, 4, 5, 6].map((port) => `MODIFIED h:${port}`), "DELETED h:6"],
  );
  const selecting = await events(`${v2}?fieldSelector=spec.address%3Dh:2`, 2, async () => {
    await call("POST", v1, address("v1", "s", { host: "h", port: 1 }));
    await call("PATCH", `${v1}/s`, { spec: { port: 2 } }, mergePatch);
    await call("PATCH", `${v1}/s`, { spec: { port: 3 } }, mergePatch);
  });
  assert.deepEqual(
    selecting.map((each) => each.type),
    ["ADDED", "DELETED"],
  );
  await call("DELETE", `${v1}/s`);
});

test("a watch whose changes can't be converted says so and ends", async () => {
  const [event] = await events(v2, 1, async () => {
    hook.answer = (response) => ({ ...response, result: { status: "Failure", message: "not now" } });
    await call("POST", v1, address("v1", "e", { host: "h", port: 1 }));
  });
  hook.answer = (response) => response;
  assert.equal(event?.type, "ERROR");
  assert.equal(
    (event.object as unknown as { message: string }).message,
    "conversion webhook for example.com/v1, Kind=Address failed: not now",
  );
  await call("DELETE", `${v1}/e`);
});

test("only labels and annotations of the metadata are the webhook's", async () => {
  hook.answer = (response) => {
    const [object] = response["convertedObjects"] as KubeObject[];
    assert.ok(object);
    object.metadata = {
      ...object.metadata,
      finalizers: ["example.com/no"],
      generation: 99,
      annotations: { by: "the webhook" },
    };
    return response;
  };
  await call("POST", v1, address("v1", "m", { host: "h", port: 1 }));
  const { metadata } = (await call("GET", `${v2}/m`)).body as unknown as KubeObject;
  assert.deepEqual(metadata.annotations, { by: "the webhook" });
  assert.equal(metadata.finalizers, undefined);
  assert.equal(metadata.generation, 1);
  hook.answer = (response) => response;
  await call("DELETE", `${v1}/m`);
});

test("answers that are none", async () => {
  await call("POST", v1, address("v1", "bad", { host: "h", port: 1 }));
  const about = "conversion webhook for example.com/v1, Kind=Address";
  const message = async (answer: ConversionServer["answer"]) => {
    hook.answer = answer;
    const reply = await call("GET", `${v2}/bad`);
    assert.equal(reply.status, 500);
    return reply.body.message;
  };
  const changed = (change: (object: KubeObject) => void) =>
    message((response) => {
      for (const each of response["convertedObjects"] as KubeObject[]) {
        each.metadata = { ...each.metadata };
        change(each);
      }
      return response;
    });
  assert.equal(
    await message((response) => ({ ...response, result: { status: "Failed", message: "not today" } })),
    `${about} failed: not today`,
  );
  assert.equal(
    await message((response) => ({ ...response, result: { status: "Failure" } })),
    `${about} failed: response.result.status was 'Failure', not 'Success'`,
  );
  assert.equal(
    await message((response) => ({ ...response, convertedObjects: [] })),
    `${about} returned 0 objects, expected 1`,
  );
  assert.match(
    (await message((response) => ({ ...response, uid: "other" }))) ?? "",
    /failed: expected response\.uid="[0-9a-f-]{36}", got "other"$/,
  );
  assert.equal(
    await changed((each) => (each.apiVersion = "example.com/v3")),
    `${about} returned invalid converted object at index 0: invalid groupVersion (expected example.com/v2, received example.com/v3)`,
  );
  assert.equal(
    await changed((each) => (each.metadata.name = "other")),
    `${about} returned invalid converted object at index 0: must have the same name: bad != other`,
  );
  assert.equal(
    await changed((each) => (each.metadata.labels = { "not a label": "x" })).then((text) =>
      text?.startsWith(`${about} returned invalid metadata: metadata.labels: Invalid value`),
    ),
    true,
  );
  hook.answer = (response) => response;
  assert.equal((await call("GET", `${v2}/bad`)).status, 200, "what failed is asked again");
  await call("DELETE", `${v1}/bad`);
});

test("a webhook in a Service is reached at the Service's endpoint, under the Service's name", async () => {
  await call("POST", "/api/v1/namespaces/default/services", {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "hook" },
    spec: { ports: [{ name: "https", port: 443, targetPort: hook.port }] },
  });
  await call("POST", v1, address("v1", "svc", { host: "h", port: 1 }));
  const clientConfig = { service: { namespace: "default", name: "hook", path: "/convert" } };
  const conversion = {
    webhook: { clientConfig: { ...clientConfig, url: null, caBundle: hook.caBundle } },
  };
  const patched = await call(
    "PATCH",
    `${definitions}/addresses.example.com`,
    { spec: { conversion } },
    mergePatch,
  );
  assert.equal(patched.status, 200);
  const url = "https://hook.default.svc:443/convert?timeout=30s";
  const failed = `conversion webhook for example.com/v1, Kind=Address failed: Post "${url}": `;
  await until(async () => (await call("GET", `${v2}/svc`)).status === 500);
  assert.equal(
    (await call("GET", `${v2}/svc`)).body.message,
    `${failed}no endpoints available for service "hook"`,
  );
  // Past the API, which lets no endpoint be on loopback.
  const slice = {
    kind: "EndpointSlice",
    apiVersion: "discovery.k8s.io/v1",
    metadata: { name: "hook-1", labels: { "kubernetes.io/service-name": "hook" } },
    addressType: "IPv4",
    ports: [{ name: "https", port: hook.port }],
    endpoints: [{ addresses: ["127.0.0.1"] }],
  };
  await backend.transact({
    compare: [],
    success: [
      {
        type: "put",
        key: "/registry/endpointslices/default/hook-1",
        value: Buffer.from(JSON.stringify(slice)),
      },
    ],
    failure: [],
  });
  await until(async () => (await call("GET", `${v2}/svc`)).status === 200);
  const reply = await call("GET", `${v2}/svc`);
  assert.deepEqual(reply.body["spec"], { address: "h:1" });
});

test("after a change of the storage version old objects stay readable in both", async () => {
  const versions = (convertedDefinition({}, "v2") as CustomResourceDefinition).spec.versions;
  const patched = await call(
    "PATCH",
    `${definitions}/addresses.example.com`,
    { spec: { versions } },
    mergePatch,
  );
  assert.deepEqual((patched.body as unknown as CustomResourceDefinition).status?.storedVersions, [
    "v1",
    "v2",
  ]);
  await call("POST", v1, address("v1", "new", { host: "n", port: 2 }));
  const specs = async (path: string) =>
    (await call("GET", path)).body.items?.map((each) => [each.apiVersion, each["spec"]]);
  const inV2 = [
    ["example.com/v2", { address: "n:2" }],
    ["example.com/v2", { address: "h:1" }],
  ];
  await until(async () => {
    hook.reviews.length = 0;
    return (await call("GET", v2)).status === 200 && hook.reviews.length <= 1;
  });
  assert.deepEqual(await specs(v2), inV2);
  assert.deepEqual(await specs(v1), [
    ["example.com/v1", { host: "n", port: 2 }],
    ["example.com/v1", { host: "h", port: 1 }],
  ]);
  // An object that waits for a finalizer is written in the version that it has.
  await call("PATCH", `${v1}/svc`, { metadata: { finalizers: ["example.com/wait"] } }, mergePatch);
  await call("DELETE", `${v1}/svc`);
  await call("PATCH", `${v2}/svc`, { metadata: { finalizers: null } }, mergePatch);
  assert.equal((await call("GET", `${v1}/svc`)).status, 404);
});

test("a webhook that is not there is told of", async () => {
  const port = hook.port;
  hook.close();
  const clientConfig = { service: null, url: `https://127.0.0.1:${port}/convert` };
  const conversion = { webhook: { clientConfig } };
  await call("PATCH", `${definitions}/addresses.example.com`, { spec: { conversion } }, mergePatch);
  const refused = `Post "https://127.0.0.1:${port}/convert?timeout=30s": dial tcp 127.0.0.1:${port}: connect: connection refused`;
  await until(async () => (await call("GET", v1)).body.message?.endsWith("connection refused") === true);
  const created = await call("POST", v1, address("v1", "z", { host: "h", port: 1 }));
  assert.equal(
    created.body.message,
    `conversion webhook for example.com/v1, Kind=Address failed: ${refused}`,
  );
  // Deleting the definition asks nobody: its objects go in the version in which they are stored.
  assert.equal((await call("DELETE", `${definitions}/addresses.example.com`)).status, 200);
  await until(async () => (await call("GET", `${definitions}/addresses.example.com`)).status === 404);
});

test("a definition with a webhook says where it is and what it speaks", () => {
  const texts = (conversion: unknown) => {
    const crd = convertedDefinition({ url: "https://x/y" }) as CustomResourceDefinition;
    crd.spec.conversion = conversion as NonNullable<CustomResourceDefinition["spec"]["conversion"]>;
    return validateDefinition(withDefinitionDefaults(crd)).map((each) => `${each.field}: ${each.message}`);
  };
  const conversionReviewVersions = ["v1"];
  assert.deepEqual(
    texts({
      strategy: "Webhook",
      webhook: { clientConfig: { url: "https://x/y" }, conversionReviewVersions },
    }),
    [],
  );
  assert.deepEqual(texts({ strategy: "Webhook" }), [
    "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
    "spec.conversion.conversionReviewVersions: Required value",
  ]);
  assert.deepEqual(texts({ strategy: "Webhook", webhook: { clientConfig: {}, conversionReviewVersions } }), [
    "spec.conversion.webhookClientConfig: Required value: exactly one of url or service is required",
  ]);
  assert.deepEqual(texts({ strategy: "None", webhook: { conversionReviewVersions } }), [
    "spec.conversion.conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook",
  ]);
  assert.match(
    texts({
      strategy: "Webhook",
      webhook: { clientConfig: { url: "https://x/y" }, conversionReviewVersions: ["v9"] },
    })[0] ?? "",
    /must include at least one of v1, v1beta1$/,
  );
});
