/**
 * "__proto__", "constructor" and "toString" are valid keys of data, labels and annotations. They must come
 * back from every format and every kind of patch, and never reach JavaScript's prototypes.
 */
import { after, before, beforeEach, describe, test } from "node:test";
import assert from "node:assert/strict";
import type { HttpUser } from "#base/http.ts";
import { MemoryBackend } from "#base/memory-backend.ts";
import type { ApiServer } from "./server.ts";
import { testServer } from "./server.test-suite.ts";

const admin: HttpUser = { name: "admin", groups: ["system:masters"] };
const path = "/api/v1/namespaces/default/configmaps";
const protobuf = "application/vnd.kubernetes.protobuf";
const keys = ["__proto__", "constructor", "toString"];
const memberTexts = (value: string): string => keys.map((key) => `"${key}":"${value}"`).join(",");

interface Answer {
  status: number;
  bytes: Buffer;
  text: string;
}

describe("keys that JavaScript's objects inherit", () => {
  const backend = new MemoryBackend();
  let api: ApiServer;

  before(async () => {
    api = testServer({ backend });
    await api.ready();
  });
  after(async () => {
    await api.close();
    await backend.close();
  });
  beforeEach(() => assertClean());

  async function send(
    method: string,
    target: string,
    type: string,
    body: string | Uint8Array = "",
    accept = "application/json",
  ): Promise<Answer> {
    const [pathOnly = "", query = ""] = target.split("?");
    const response = await api.handler({
      method,
      path: pathOnly,
      query,
      headers: { accept, "content-type": type, "user-agent": "unit/1" },
      body: Buffer.from(body as Uint8Array),
      signal: new AbortController().signal,
      user: admin,
    });
    const bytes = Buffer.from(response.body as Uint8Array);
    return { status: response.status, bytes, text: bytes.toString("utf8") };
  }

  const json = "application/json";

  async function create(name: string, data: string): Promise<void> {
    const created = await send("POST", path, json, manifest(name, data));
    assert.equal(created.status, 201, created.text);
  }

  function manifest(name: string, data: string): string {
    return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"${name}"},"data":{${data}}}`;
  }

  async function dataOf(name: string): Promise<[string, string][]> {
    const { text } = await send("GET", `${path}/${name}`, json);
    assertClean();
    const { data } = JSON.parse(text) as { data?: Record<string, string> };
    return Object.entries(data ?? {}).sort(([left], [right]) => (left < right ? -1 : 1));
  }

  const all = (value: string): [string, string][] => keys.map((key) => [key, value]);

  test("are created, listed and replaced in JSON and YAML", async () => {
    await create("plain", memberTexts("1"));
    assert.deepEqual(await dataOf("plain"), all("1"));
    const lines = keys.map((key) => `  ${key}: "2"\n`).join("");
    const yaml = `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: plain\ndata:\n${lines}`;
    const replaced = await send("PUT", `${path}/plain`, "application/yaml", yaml);
    assert.equal(replaced.status, 200, replaced.text);
    assert.deepEqual(await dataOf("plain"), all("2"));
    const shown = await send("GET", `${path}/plain`, json, "", "application/yaml");
    for (const key of keys) assert.match(shown.text, new RegExp(`^  ${key}: "2"$`, "m"));
  });

  test("are labels and annotations that selectors find", async () => {
    const body = `{"metadata":{"name":"labelled","labels":{${memberTexts("yes")}},"annotations":{${memberTexts("1")}}}}`;
    // Labels and annotations may not begin or end with an underscore.
    const refused = await send("POST", path, json, body);
    assert.equal(refused.status, 422, refused.text);
    const made = await send("POST", path, json, body.replaceAll(/"__proto__":"\w+",/g, ""));
    assert.equal(made.status, 201, made.text);
    for (const [selector, count] of [
      ["constructor%3Dyes", 1],
      ["constructor", 1],
      ["!toString", 0],
      ["toString%3Dother", 0],
    ] as const) {
      const listed = await send("GET", `${path}?labelSelector=${selector}`, json);
      const { items } = JSON.parse(listed.text) as { items: { metadata: { name: string } }[] };
      const found = items.filter(({ metadata }) => metadata.name === "labelled");
      assert.equal(found.length, count, selector);
    }
    const bare = await send("POST", path, json, manifest("unlabelled", ""));
    assert.equal(bare.status, 201);
    const listed = await send("GET", `${path}?labelSelector=constructor`, json);
    assert.doesNotMatch(listed.text, /unlabelled/);
  });

  test("go through protobuf and back", async () => {
    await create("binary", memberTexts("1"));
    const encoded = await send("GET", `${path}/binary`, json, "", protobuf);
    assert.equal(encoded.status, 200);
    const replaced = await send("PUT", `${path}/binary`, protobuf, encoded.bytes);
    assert.equal(replaced.status, 200, replaced.text);
    assert.deepEqual(await dataOf("binary"), all("1"));
  });

  for (const type of ["application/merge-patch+json", "application/strategic-merge-patch+json"])
    test(`are set, changed and removed by ${type}`, async () => {
      const name = type.includes("strategic") ? "strategic" : "merge";
      await create(name, "");
      const patch = async (members: string): Promise<void> => {
        const { status, text } = await send("PATCH", `${path}/${name}`, type, `{"data":{${members}}}`);
        assert.equal(status, 200, text);
      };
      await patch(memberTexts("1"));
      assert.deepEqual(await dataOf(name), all("1"));
      await patch(`"constructor":"2","__proto__":"2","toString":"2"`);
      assert.deepEqual(await dataOf(name), all("2"));
      await patch(keys.map((key) => `"${key}":null`).join(","));
      assert.deepEqual(await dataOf(name), []);
    });

  test("are added, copied, moved, tested and removed by JSON patch", async () => {
    await create("operations", `"a":"1"`);
    const patch = (...operations: object[]): Promise<Answer> =>
      send("PATCH", `${path}/operations`, "application/json-patch+json", JSON.stringify(operations));
    const done = await patch(
      { op: "add", path: "/data/__proto__", value: "1" },
      { op: "copy", from: "/data/__proto__", path: "/data/constructor" },
      { op: "move", from: "/data/a", path: "/data/toString" },
      { op: "test", path: "/data/__proto__", value: "1" },
    );
    assert.equal(done.status, 200, done.text);
    assert.deepEqual(await dataOf("operations"), all("1"));
    const inside = await patch({ op: "add", path: "/metadata/__proto__/polluted", value: "yes" });
    assert.equal(inside.status, 422, inside.text);
    const deeper = await patch({ op: "add", path: "/metadata/constructor/prototype/polluted", value: "yes" });
    assert.equal(deeper.status, 422, deeper.text);
    const removed = await patch(...keys.map((key) => ({ op: "remove", path: `/data/${key}` })));
    assert.equal(removed.status, 200, removed.text);
    assert.deepEqual(await dataOf("operations"), []);
  });

  test("are applied, taken over and given up by server-side apply", async () => {
    const apply = (manager: string, members: string, query = ""): Promise<Answer> =>
      send(
        "PATCH",
        `${path}/applied?fieldManager=${manager}${query}`,
        "application/apply-patch+yaml",
        manifest("applied", members),
      );
    assert.equal((await apply("one", memberTexts("1"))).status, 201);
    assert.deepEqual(await dataOf("applied"), all("1"));
    const conflict = await apply("two", `"__proto__":"2"`);
    assert.equal(conflict.status, 409, conflict.text);
    assert.match(conflict.text, /\.data\.__proto__/);
    assert.equal((await apply("two", `"__proto__":"2"`, "&force=true")).status, 200);
    assert.deepEqual(await dataOf("applied"), [["__proto__", "2"], ...all("1").slice(1)]);
    assert.equal((await apply("one", "")).status, 200);
    assert.deepEqual(await dataOf("applied"), [["__proto__", "2"]]);
  });

  test("are fields of custom resources, and unknown fields where a kind is closed", async () => {
    const unknown = await send(
      "POST",
      `${path}?fieldValidation=Strict`,
      json,
      `{"metadata":{"name":"closed"},"__proto__":{"data":{"a":"1"}}}`,
    );
    assert.equal(unknown.status, 400, unknown.text);
    assert.match(unknown.text, /unknown field \\"__proto__\\"/);
    const schema = {
      type: "object",
      properties: {
        spec: {
          type: "object",
          "x-kubernetes-preserve-unknown-fields": true,
          "x-kubernetes-validations": [{ rule: "true" }],
        },
        map: { type: "object", additionalProperties: { type: "string" } },
      },
    };
    const definition = {
      metadata: { name: "things.proto.example.com" },
      spec: {
        group: "proto.example.com",
        scope: "Namespaced",
        names: { plural: "things", kind: "Thing" },
        versions: [
          {
            name: "v1",
            served: true,
            storage: true,
            schema: { openAPIV3Schema: schema },
            subresources: {
              scale: {
                specReplicasPath: ".spec.__proto__.polluted",
                statusReplicasPath: ".status.constructor.polluted",
              },
            },
          },
        ],
      },
    };
    const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert.equal((await send("POST", definitions, json, JSON.stringify(definition))).status, 201);
    const things = "/apis/proto.example.com/v1/namespaces/default/things";
    const thing = `{"apiVersion":"proto.example.com/v1","kind":"Thing","metadata":{"name":"t"},"spec":{"__proto__":{"polluted":1}},"map":{"__proto__":"1"}}`;
    const deadlineMs = Date.now() + 5_000;
    let made = await send("POST", things, json, thing);
    while (made.status === 404 && Date.now() < deadlineMs) made = await send("POST", things, json, thing);
    assert.equal(made.status, 201, made.text);
    const { text } = await send("GET", `${things}/t`, json);
    assert.match(text, /"map":\{"__proto__":"1"\}/);
    const merge = "application/merge-patch+json";
    const scaled = await send("PATCH", `${things}/t/scale`, merge, `{"spec":{"replicas":3}}`);
    assert.equal(scaled.status, 200, scaled.text);
    assertClean();
    const after = await send("GET", `${things}/t`, json);
    assert.match(after.text, /"spec":\{"__proto__":\{"polluted":3\}\}/);
    assertClean();
  });
});

function assertClean(): void {
  assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
  assert.deepEqual(Object.keys(Object.prototype), []);
}
