import assert from "node:assert/strict";
import { test } from "node:test";
import { pods, statefulSets } from "./kubernetes.ts";
import type { StatefulSet } from "./kubernetes.ts";
import { statefulSetController } from "./stateful-set.ts";
import { World } from "./transcript.test-suite.ts";

test("pods come one after the other: the next when the one before is ready", () => {
  const world = new World();
  world.put(statefulSets, {
    metadata: { name: "db", namespace: "default" },
    spec: {
      replicas: 2,
      serviceName: "db",
      selector: { matchLabels: { app: "db" } },
      template: { metadata: { labels: { app: "db" } }, spec: { containers: [] } },
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0 } },
      podManagementPolicy: "OrderedReady",
    },
  } as unknown as StatefulSet);
  const made = (): string[] =>
    world.run(statefulSetController, "default/db").filter((line) => line.startsWith("create Pod"));
  assert.deepEqual(made(), ["create Pod db-0"]);
  const first = world.get(pods, "default", "db-0")!;
  const conditions = [{ type: "Ready", status: "True", lastTransitionTime: new Date(0).toISOString() }];
  world.put(pods, { ...first, status: { phase: "Running", conditions } } as unknown as typeof first);
  assert.deepEqual(made(), ["create Pod db-1"]);
});
