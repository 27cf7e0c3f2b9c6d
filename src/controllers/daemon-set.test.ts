import assert from "node:assert/strict";
import { test } from "node:test";
import { daemonSetController } from "./daemon-set.ts";
import { daemonSets, nodes } from "./kubernetes.ts";
import type { DaemonSet, Node } from "./kubernetes.ts";
import { World } from "./transcript.test-suite.ts";

test("a pod for each node that it may run on", () => {
  const world = new World();
  for (const name of ["a", "b"]) world.put(nodes, { metadata: { name } } as unknown as Node);
  const taints = [{ key: "k", effect: "NoSchedule" }];
  world.put(nodes, { metadata: { name: "tainted" }, spec: { taints } } as unknown as Node);
  world.put(daemonSets, {
    metadata: { name: "d", namespace: "default" },
    spec: {
      selector: { matchLabels: { app: "d" } },
      template: { metadata: { labels: { app: "d" } }, spec: { containers: [] } },
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1 } },
    },
  } as unknown as DaemonSet);
  const lines = world.run(daemonSetController, "default/d");
  assert.equal(lines.filter((line) => line.startsWith("create Pod")).length, 2);
  assert.equal(world.get(daemonSets, "default", "d")!.status.desiredNumberScheduled, 2);
});
