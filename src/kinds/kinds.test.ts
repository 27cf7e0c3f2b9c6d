import assert from "node:assert/strict";
import { test } from "node:test";
import { allKinds, findKind, findKindByName } from "./all.ts";
import { parseCron, cronErrors, matchesCron } from "./cron.ts";
import { parseCidr, cidrContains, formatIp, parseIp } from "./ip.ts";
import { generateName, nameAlphabet } from "./names.ts";
import { hashPodTemplate } from "./pod-template-hash.ts";
import { formatQuantities, podRequests, qosClassOf } from "./pod-requests.ts";
import { findSchema } from "./schemas.ts";
import { formatDuration } from "./time.ts";

test("every kind has a schema and is found by resource and by name", () => {
  for (const kind of allKinds) {
    assert.ok(findSchema(kind.schemaName), kind.schemaName);
    assert.equal(findKind(kind.group, kind.version, kind.plural), kind);
    assert.equal(findKindByName(kind.group, kind.version, kind.kind), kind);
  }
  assert.equal(findKind("", "v1", "deployments"), undefined);
});

test("a pod asks for its containers, or for its largest init step with the sidecars so far", () => {
  const request = (cpu: string): { resources: { requests: { cpu: string } } } => ({
    resources: { requests: { cpu } },
  });
  const spec = {
    containers: [
      { name: "a", ...request("500m") },
      { name: "b", ...request("250m") },
    ],
    initContainers: [
      { name: "s", restartPolicy: "Always", ...request("100m") },
      { name: "i", ...request("1") },
    ],
    overhead: { cpu: "10m" },
  };
  assert.deepEqual(formatQuantities(podRequests(spec)), { cpu: "1110m" });
  assert.equal(qosClassOf(spec), "Burstable");
  const both = { cpu: "1", memory: "1Gi" };
  assert.equal(
    qosClassOf({ containers: [{ name: "c", resources: { limits: both, requests: both } }] }),
    "Guaranteed",
  );
  assert.equal(qosClassOf({ containers: [{ name: "c" }] }), "BestEffort");
});

test("hashes of templates are stable, ignore key order, and change with the collision count", () => {
  const one = { metadata: { labels: { a: "1", b: "2" } }, spec: { containers: [{ name: "c", image: "x" }] } };
  const other = {
    spec: { containers: [{ image: "x", name: "c" }] },
    metadata: { labels: { b: "2", a: "1" } },
  };
  assert.equal(hashPodTemplate(one), hashPodTemplate(other));
  assert.notEqual(hashPodTemplate(one), hashPodTemplate(one, 1));
  assert.match(hashPodTemplate(one), new RegExp(`^[${nameAlphabet}]{10}$`));
});

test("generated names have five characters more, and fit", () => {
  assert.equal(
    generateName("web-", () => 0),
    "web-bbbbb",
  );
  assert.equal(generateName("x".repeat(80), () => 1).length, 63);
});

test("ages are short", () => {
  const seconds: [number, string][] = [
    [0, "0s"],
    [119, "119s"],
    [120, "2m"],
    [125, "2m5s"],
    [3600 * 5, "5h"],
    [3600 * 5 + 60, "5h1m"],
    [86400 * 3, "3d"],
    [86400 * 400, "400d"],
    [86400 * 800, "2y70d"],
  ];
  for (const [given, expected] of seconds) assert.equal(formatDuration(given * 1000), expected);
});

test("addresses and networks", () => {
  assert.equal(formatIp(parseIp("2001:DB8:0:0::1") ?? assert.fail()), "2001:db8::1");
  assert.equal(parseIp("1.2.3"), undefined);
  assert.equal(parseIp("1::2::3"), undefined);
  const cidr = parseCidr("10.42.0.0/16") ?? assert.fail();
  assert.ok(cidrContains(cidr, parseIp("10.42.255.1") ?? assert.fail()));
  assert.ok(!cidrContains(cidr, parseIp("10.43.0.1") ?? assert.fail()));
});

test("cron schedules", () => {
  const schedule = parseCron("*/15 9-17 * * mon-fri");
  const at = { minute: 30, hour: 9, dayOfMonth: 3, month: 1, dayOfWeek: 1 };
  assert.ok(matchesCron(schedule, at));
  assert.ok(!matchesCron(schedule, { ...at, minute: 31 }));
  assert.ok(!matchesCron(schedule, { ...at, dayOfWeek: 0 }));
  assert.ok(
    matchesCron(parseCron("0 0 13 * 5"), { minute: 0, hour: 0, dayOfMonth: 1, month: 1, dayOfWeek: 5 }),
  );
  assert.deepEqual(cronErrors("Invalid Value!"), ["expected exactly 5 fields, found 2: [Invalid Value!]"]);
});
