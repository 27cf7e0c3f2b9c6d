import assert from "node:assert/strict";
import { test } from "node:test";
import type { Reading } from "./usage.ts";
import { nodeMetricsOf, podMetricsOf } from "./usage.ts";

const second = 1_000_000_000;

interface Container {
  name: string;
  cpu?: { usageCoreNanoSeconds: number };
  memory?: { workingSetBytes: number };
}

function container(name: string, cpuSeconds: number, mebibytes: number): Container {
  return {
    name,
    cpu: { usageCoreNanoSeconds: cpuSeconds * second },
    memory: { workingSetBytes: mebibytes * 1024 * 1024 },
  };
}

function reading(atSeconds: number, ...containers: Container[]): Reading {
  return {
    timeMs: Date.parse("2026-05-06T07:08:00Z") + atSeconds * 1000,
    monotonicMs: atSeconds * 1000,
    summary: {
      node: container("", atSeconds * 2, 512),
      pods: [{ podRef: { name: "web", namespace: "shop", uid: "u1" }, containers }],
    },
  };
}

const pod = { name: "web", namespace: "shop", labels: { app: "web" } };
const known = (uid: string) => (uid === "u1" ? pod : undefined);

test("a node's use is what it used between two readings", () => {
  const metrics = nodeMetricsOf({ name: "n1" }, reading(0), reading(10));
  assert.deepEqual(metrics, {
    kind: "NodeMetrics",
    apiVersion: "metrics.k8s.io/v1beta1",
    metadata: { name: "n1", creationTimestamp: "2026-05-06T07:08:10Z" },
    timestamp: "2026-05-06T07:08:10Z",
    window: "10s",
    usage: { cpu: "2000000000n", memory: "524288Ki" },
  });
});

test("a pod has a value for each container, and its labels", () => {
  const before = reading(0, container("main", 1, 10), container("side", 5, 1));
  const now = reading(4, container("main", 2, 20), container("side", 5, 2));
  const [metrics] = podMetricsOf(known, before, now);
  assert.deepEqual(metrics?.metadata.labels, { app: "web" });
  assert.deepEqual(metrics?.containers, [
    { name: "main", usage: { cpu: "250000000n", memory: "20480Ki" } },
    { name: "side", usage: { cpu: "0n", memory: "2048Ki" } },
  ]);
});

test("a pod has none while one of its containers is new or was restarted", () => {
  const before = reading(0, container("main", 8, 10));
  assert.deepEqual(podMetricsOf(known, before, reading(4, container("main", 1, 10))), []);
  const withNew = reading(4, container("main", 9, 10), container("new", 1, 1));
  assert.deepEqual(podMetricsOf(known, before, withNew), []);
});

test("pods that the API doesn't know are left out", () => {
  const readings = [reading(0, container("main", 1, 1)), reading(4, container("main", 2, 1))] as const;
  assert.equal(podMetricsOf(known, ...readings).length, 1);
  assert.deepEqual(
    podMetricsOf(() => undefined, ...readings),
    [],
  );
});
