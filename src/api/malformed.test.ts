/** Requests that no client should send: each is answered as what it is, and the server goes on. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { MemoryBackend } from "#base/memory-backend.ts";
import type { Logger } from "#base/ports.ts";
import type { ApiServer } from "./server.ts";
import { testServer } from "./server.test-suite.ts";

const failures: string[] = [];
const logger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: (message, fields) => failures.push(`${message} ${JSON.stringify(fields)}`),
};
const backend = new MemoryBackend();
let api: ApiServer;

before(async () => {
  api = testServer({ backend, logger });
  await api.ready();
});

after(async () => {
  await api.close();
  await backend.close();
});

const objects = "/api/v1/namespaces/default/configmaps";
const theNamespace = "/api/v1/namespaces/default";
const yaml = "application/yaml";
const patchType = (name: string): string => `application/${name}+json`;

async function send(
  method: string,
  target: string,
  type: string,
  body: string | Uint8Array,
): Promise<number> {
  const [path = "", query = ""] = target.split("?");
  const response = await api.handler({
    method,
    path,
    query,
    headers: { accept: "application/json", "content-type": type },
    body: typeof body === "string" ? Buffer.from(body) : body,
    signal: new AbortController().signal,
    user: { name: "admin", groups: ["system:masters"] },
  });
  return response.status;
}

const nested = (count: number, open: string, close: string): string =>
  open.repeat(count) + close.repeat(count);
/** Nine references to nine references to … : a few hundred bytes that stand for gigabytes. */
const laughs = "abcdefghij"
  .split("")
  .map((name, index) =>
    index === 0
      ? `a: &a [${Array(9).fill("x").join()}]`
      : `${name}: &${name} [${Array(9)
          .fill(`*${"abcdefghij"[index - 1]}`)
          .join()}]`,
  )
  .join("\n");
const copies = Array.from({ length: 40 }, (_, index) => ({
  op: "copy",
  from: "/metadata",
  path: `/metadata/x${index}`,
}));

const cases: readonly [
  name: string,
  status: number,
  method: string,
  target: string,
  type: string,
  body: string | Uint8Array,
][] = [
  ["brackets", 400, "POST", objects, "application/json", nested(100_000, "[", "]")],
  ["brackets that do not close", 400, "POST", objects, "application/json", "[".repeat(100_000)],
  [
    "objects in objects",
    400,
    "POST",
    objects,
    "application/json",
    `{"kind":"ConfigMap","kind":"","x":${'{"a":'.repeat(20_000)}1${"}".repeat(20_001)}`,
  ],
  ["brackets in YAML", 400, "POST", objects, yaml, nested(5_000, "[", "]")],
  ["a billion laughs", 400, "POST", objects, yaml, laughs],
  [
    "a billion laughs, applied",
    400,
    "PATCH",
    `${objects}/x?fieldManager=m`,
    "application/apply-patch+yaml",
    laughs,
  ],
  [
    "not UTF-8",
    422,
    "POST",
    objects,
    "application/json",
    Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d),
  ],
  ["more than 3 MiB", 413, "POST", objects, "application/json", `{"data":{"k":"${"x".repeat(4 << 20)}"}}`],
  ["a list", 400, "POST", objects, "application/json", "[]"],
  ["metadata that is a list", 400, "POST", objects, "application/json", '{"metadata":[]}'],
  ["an unknown media type", 415, "POST", objects, "text/plain", "x"],
  [
    "protobuf without an end",
    400,
    "POST",
    objects,
    "application/vnd.kubernetes.protobuf",
    Buffer.from("k8s\0\x0a\xff\xff\xff\xff\x0f", "latin1"),
  ],
  ["an unknown patch", 415, "PATCH", theNamespace, "application/x", "{}"],
  [
    "a deep merge patch",
    400,
    "PATCH",
    theNamespace,
    patchType("merge-patch"),
    `${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}`,
  ],
  [
    "a deep strategic patch",
    400,
    "PATCH",
    theNamespace,
    patchType("strategic-merge-patch"),
    `${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}`,
  ],
  [
    "a deep value in a JSON patch",
    400,
    "PATCH",
    theNamespace,
    patchType("json-patch"),
    `[{"op":"test","path":"/a","value":${nested(5_000, "[", "]")}}]`,
  ],
  [
    "copies of copies",
    422,
    "PATCH",
    `${theNamespace}?dryRun=All`,
    patchType("json-patch"),
    JSON.stringify(copies),
  ],
  [
    "a number of 1e400",
    400,
    "POST",
    "/api/v1/namespaces/default/pods",
    "application/json",
    '{"metadata":{"name":"a"},"spec":{"containers":[],"priority":1e400}}',
  ],
  ["a path with dots", 404, "GET", "/api/v1/namespaces/default/../../../etc", "", ""],
  ["an encoded path with dots", 404, "GET", "/api/v1/namespaces/%2e%2e/configmaps/%2f%2e%2e", "", ""],
  ["a zero byte", 404, "GET", "/api/v1/namespaces/a%00b/configmaps/x%00", "", ""],
  ["a limit of letters", 400, "GET", `${objects}?limit=abc`, "", ""],
  ["a forged page", 400, "GET", `${objects}?limit=1&continue=abc`, "", ""],
  ["a selector of brackets", 400, "GET", `${objects}?labelSelector=((((!a=b`, "", ""],
  ["an unknown method", 405, "FOO", objects, "", ""],
];

for (const [name, expected, method, target, type, body] of cases) {
  test(`${name}: ${expected}`, async () => {
    const startedMs = performance.now();
    assert.equal(await send(method, target, type, body), expected);
    assert.ok(performance.now() - startedMs < 2_000, "takes too long");
    assert.deepEqual(failures, []);
  });
}

const types = [
  "application/json",
  yaml,
  "application/vnd.kubernetes.protobuf",
  patchType("json-patch"),
  patchType("merge-patch"),
  patchType("strategic-merge-patch"),
  "application/apply-patch+yaml",
];
const targets = [
  objects,
  `${theNamespace}?fieldManager=m&dryRun=All`,
  "/apis/apps/v1/namespaces/default/deployments",
];

test("no body is an internal error", async () => {
  const json = fc.json({ maxDepth: 6 });
  const object = fc
    .record({ metadata: fc.jsonValue(), spec: fc.jsonValue(), data: fc.jsonValue(), status: fc.jsonValue() })
    .map((value) => JSON.stringify(value));
  const operations = fc
    .array(
      fc.record({
        op: fc.constantFrom("add", "remove", "replace", "move", "copy", "test", "odd"),
        path: fc.constantFrom(
          "",
          "/",
          "/metadata",
          "/metadata/labels",
          "/metadata/labels/-",
          "/spec/finalizers/0",
          "/~2",
        ),
        from: fc.constantFrom("", "/metadata", "/spec"),
        value: fc.jsonValue(),
      }),
      { maxLength: 4 },
    )
    .map((value) => JSON.stringify(value));
  const body = fc.oneof(json, object, operations, fc.string(), fc.uint8Array({ maxLength: 200 }));
  const protobuf = fc
    .uint8Array({ maxLength: 200 })
    .map((bytes) => Buffer.concat([Buffer.from("k8s\0"), bytes]));
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("POST", "PUT", "PATCH", "DELETE"),
      fc.constantFrom(...targets),
      fc.constantFrom(...types),
      fc.oneof(body, protobuf),
      async (method, target, type, content) => {
        failures.length = 0;
        const [path = "", query = ""] = target.split("?");
        await send(method, `${path}?${query}&dryRun=All`, type, content);
        assert.deepEqual(failures, []);
      },
    ),
    { numRuns: 2_000 },
  );
});
