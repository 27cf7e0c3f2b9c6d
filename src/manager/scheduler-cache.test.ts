import assert from "node:assert/strict";
import { test } from "node:test";
import { nodes, pods } from "#controllers/kubernetes.ts";
import { World } from "#controllers/transcript.test-suite.ts";
import type { NodeInfo, Pod } from "#scheduler/types.ts";
import { SchedulerCache } from "./scheduler-cache.ts";
import type { SharedView } from "./shared-view.ts";

function setting(): { cache: SchedulerCache; info: () => NodeInfo; change: (next: Pod) => void } {
  const world = new World();
  world.put(nodes, {
    metadata: { name: "n", labels: { "kubernetes.io/hostname": "n" } },
    spec: {},
    status: { allocatable: { cpu: "4", memory: "8Gi", pods: "10" } },
  } as never);
  const cache = new SchedulerCache(world as unknown as SharedView);
  let known: Pod | undefined;
  return {
    cache,
    info: () => cache.snapshot(pod()).nodes[0]!,
    change(next) {
      world.put(pods, next as never);
      cache.onPod(next, known);
      known = next;
    },
  };
}

function pod(nodeName?: string, labels?: Record<string, string>, status: object = {}): Pod {
  const spec = { containers: [{ name: "c", resources: { requests: { cpu: "1" } } }] };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default", uid: "1", ...(labels === undefined ? {} : { labels }) },
    spec: { ...spec, ...(nodeName === undefined ? {} : { nodeName }) },
    status,
  } as unknown as Pod;
}

test("an assigned pod that shows up as assumed, and its agent's news, leave the node as it is", () => {
  const { cache, info, change } = setting();
  change(pod());
  cache.assume(pod(), "n");
  const assumed = info();
  assert.equal(assumed.requested["cpu"], 1000);
  change(pod("n"));
  assert.equal(cache.isAssumed("1"), false);
  const running = pod("n", undefined, { phase: "Running", startTime: "2026-01-01T00:00:00Z" });
  change(running);
  assert.equal(info(), assumed);
  assert.deepEqual(info().pods, [running]);
});

test("a pod that is called otherwise, has ended or is on another node than assumed changes the nodes", () => {
  const { cache, info, change } = setting();
  change(pod("n"));
  const first = info();
  change(pod("n", { app: "a" }));
  const relabeled = info();
  assert.notEqual(relabeled, first);
  change(pod("n", { app: "a" }, { phase: "Succeeded" }));
  assert.deepEqual(info().pods, []);
  assert.equal(info().requested["cpu"] ?? 0, 0);

  const other = setting();
  other.change(pod());
  other.cache.assume(pod(), "n");
  other.change(pod("elsewhere"));
  assert.deepEqual(other.info().pods, []);
  assert.equal(cache.isAssumed("1"), false);
});

test("whether any node has pods that repel others follows them", () => {
  const { cache, change } = setting();
  const lonely = pod("n");
  (lonely.spec as { affinity?: object }).affinity = {
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { topologyKey: "kubernetes.io/hostname", labelSelector: {} },
      ],
    },
  };
  assert.equal(cache.snapshot(pod()).repels, false);
  change(lonely);
  assert.equal(cache.snapshot(pod()).repels, true);
  change({ ...lonely, status: { phase: "Failed" } } as Pod);
  assert.equal(cache.snapshot(pod()).repels, false);
});
