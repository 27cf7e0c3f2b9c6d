import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "#base/errors.ts";
import { pods, replicaSets } from "./kubernetes.ts";
import type { Pod, ReplicaSet } from "./kubernetes.ts";
import { replicaSetController } from "./replica-set.ts";
import { deletionOrder } from "./replica-status.ts";
import { World } from "./transcript.test-suite.ts";

function replicaSet(replicas: number): ReplicaSet {
  return {
    metadata: { name: "web", namespace: "default" },
    spec: {
      replicas,
      selector: { matchLabels: { app: "web" } },
      template: { metadata: { labels: { app: "web" } }, spec: { containers: [] } },
    },
  } as unknown as ReplicaSet;
}

test("makes what is missing, takes away what is too much, and counts", () => {
  const world = new World();
  world.put(replicaSets, replicaSet(2));
  assert.deepEqual(world.run(replicaSetController, "default/web"), [
    "create Pod web-1",
    "event Normal SuccessfulCreate: Created pod: web-1",
    "create Pod web-2",
    "event Normal SuccessfulCreate: Created pod: web-2",
    "update status of ReplicaSet web (2)",
  ]);
  world.put(replicaSets, { ...world.get(replicaSets, "default", "web")!, spec: replicaSet(0).spec });
  const lines = world.run(replicaSetController, "default/web");
  assert.equal(lines.filter((line) => line.startsWith("delete Pod")).length, 2);
  assert.equal(world.get(replicaSets, "default", "web")!.status.replicas, 0);
});

test("what the API refuses becomes a condition, and goes when it works again", () => {
  const world = new World();
  world.put(replicaSets, replicaSet(1));
  world.refuse = (action) =>
    action.type === "create" ? new StatusError("Forbidden", "exceeded quota") : undefined;
  world.run(replicaSetController, "default/web", 1);
  const [condition] = world.get(replicaSets, "default", "web")!.status.conditions ?? [];
  assert.deepEqual(
    [condition?.type, condition?.reason, condition?.message],
    ["ReplicaFailure", "FailedCreate", "exceeded quota"],
  );
  world.refuse = () => undefined;
  world.run(replicaSetController, "default/web");
  assert.equal(world.get(replicaSets, "default", "web")!.status.conditions, undefined);
});

test("pods go in this order: no node, pending, not ready, cheap, crowded, recently ready, often restarted", () => {
  const nowMs = Date.parse("2026-01-02T00:00:00Z");
  const make = (name: string, part: object): Pod =>
    ({
      metadata: {
        name,
        uid: name,
        creationTimestamp: "2026-01-01T00:00:00Z",
        ...(part as { metadata?: object }).metadata,
      },
      spec: { nodeName: name, ...(part as { spec?: object }).spec },
      status: {
        phase: "Running",
        conditions: [ready("2026-01-01T00:00:00Z")],
        ...(part as { status?: object }).status,
      },
    }) as unknown as Pod;
  const ready = (lastTransitionTime: string): object => ({
    type: "Ready",
    status: "True",
    lastTransitionTime,
  });
  const expected = [
    make("no-node", { spec: { nodeName: undefined }, status: { phase: "Pending", conditions: [] } }),
    make("pending", { status: { phase: "Pending", conditions: [] } }),
    make("not-ready", { status: { conditions: [] } }),
    make("cheap", { metadata: { annotations: { "controller.kubernetes.io/pod-deletion-cost": "-5" } } }),
    make("crowded", { spec: { nodeName: "busy" } }),
    make("young", { status: { conditions: [ready("2026-01-01T23:59:00Z")] } }),
    make("restarted", { status: { containerStatuses: [{ restartCount: 3 }] } }),
    make("steady", {}),
  ];
  const related = [...expected, make("neighbour", { spec: { nodeName: "busy" } })];
  const order = deletionOrder([...expected].reverse(), related, nowMs).map((pod) => pod.metadata.name);
  assert.deepEqual(
    order,
    expected.map((pod) => pod.metadata.name),
  );
});

test("takes in orphans that it selects, and lets go of what it no longer selects", () => {
  const world = new World();
  const set = world.put(replicaSets, replicaSet(1));
  const labels = { app: "web" };
  world.put(pods, {
    metadata: { name: "orphan", namespace: "default", labels },
    status: { phase: "Running" },
  } as unknown as Pod);
  const owner = {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    name: "web",
    uid: set.metadata.uid!,
    controller: true,
  };
  world.put(pods, {
    metadata: { name: "lost", namespace: "default", ownerReferences: [owner] },
    status: { phase: "Running" },
  } as unknown as Pod);
  const patches = world
    .run(replicaSetController, "default/web", 1)
    .filter((line) => line.startsWith("patch"));
  assert.equal(patches.length, 2);
  assert.match(patches[0]!, /^patch Pod orphan .*"controller":true,"blockOwnerDeletion":true/);
  assert.match(patches[1]!, /^patch Pod lost .*"\$patch":"delete","uid":"replicasets-web"/);
});
