import assert from "node:assert/strict";
import { test } from "node:test";
import { limitChange } from "./horizontal-autoscaler-limits.ts";
import type { ScalingHistory } from "./horizontal-autoscaler-limits.ts";
import { replicasForUsage } from "./horizontal-autoscaler-usage.ts";
import type { PodMetrics } from "./horizontal-autoscaler-usage.ts";
import type { Pod } from "./kubernetes.ts";

const nowMs = Date.parse("2026-01-01T01:00:00Z");
const half = { resource: "cpu", container: undefined, utilization: 50, averageMilli: undefined };

function pod(name: string, part: { phase?: string; ready?: string } = {}): Pod {
  const changed = "2026-01-01T00:00:10Z";
  return {
    metadata: { name },
    spec: { containers: [{ name: "c", resources: { requests: { cpu: "100m" } } }] },
    status: {
      phase: part.phase ?? "Running",
      startTime: "2026-01-01T00:00:00Z",
      conditions: [{ type: "Ready", status: part.ready ?? "True", lastTransitionTime: changed }],
    },
  } as unknown as Pod;
}

function metrics(name: string, cpu: string): PodMetrics {
  const containers = [{ name: "c", usage: { cpu } }];
  return { metadata: { name }, timestamp: "2026-01-01T00:59:50Z", window: "15s", containers } as PodMetrics;
}

test("replicas follow the use of cpu", () => {
  const two = [pod("a"), pod("b")];
  const ask = (a: string, b: string): number =>
    replicasForUsage(half, 2, two, [metrics("a", a), metrics("b", b)], nowMs).replicas;
  assert.equal(ask("100m", "100m"), 4);
  assert.equal(ask("52m", "52m"), 2, "within the tolerance");
  assert.equal(ask("25m", "25m"), 1);
  const missing = replicasForUsage(half, 2, two, [metrics("a", "100m")], nowMs);
  assert.equal(missing.replicas, 2, "an unmeasured pod dampens");
  const starting = [pod("a"), pod("b", { phase: "Pending" })];
  assert.equal(replicasForUsage(half, 2, starting, [metrics("a", "150m")], nowMs).replicas, 3);
});

test("says why nothing can be computed", () => {
  const why = (pods: Pod[], measured: PodMetrics[]) => () => replicasForUsage(half, 1, pods, measured, nowMs);
  assert.throws(why([pod("a")], []), /unable to get metrics for resource cpu: no metrics returned/);
  assert.throws(why([], [metrics("a", "1m")]), /no pods returned by selector/);
  const unlimited = { ...pod("a"), spec: { containers: [{ name: "c" }] } } as unknown as Pod;
  assert.throws(why([unlimited], [metrics("a", "1m")]), /missing request for cpu in container c of Pod a/);
});

test("changes are limited", () => {
  const history = (): ScalingHistory => ({ recommendations: [], changes: [] });
  const base = { current: 4, least: 1, most: 20, behavior: undefined, nowMs };
  const fast = limitChange({ ...base, wanted: 15, history: history() });
  assert.deepEqual([fast.replicas, fast.limit.reason], [8, "ScaleUpLimit"]);
  const recent = { recommendations: [{ atMs: nowMs - 60_000, replicas: 4 }], changes: [] };
  const slow = limitChange({ ...base, wanted: 1, history: recent });
  assert.deepEqual([slow.replicas, slow.stabilization.reason], [4, "ScaleDownStabilized"]);
  const policies = [{ type: "Pods", value: 1, periodSeconds: 60 }];
  const behavior = { scaleDown: { stabilizationWindowSeconds: 0, policies } };
  const one = limitChange({ ...base, wanted: 1, behavior, history: history() });
  assert.deepEqual([one.replicas, one.limit.reason], [3, "ScaleDownLimit"]);
  const done = { recommendations: [], changes: [{ atMs: nowMs - 30_000, by: -1 }] };
  assert.equal(limitChange({ ...base, wanted: 1, behavior, history: done }).replicas, 4);
});
