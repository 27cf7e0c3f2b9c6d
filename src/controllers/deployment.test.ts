import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "#base/errors.ts";
import { deploymentController } from "./deployment.ts";
import { deployments, replicaSets } from "./kubernetes.ts";
import type { Deployment, ReplicaSet } from "./kubernetes.ts";
import { World } from "./transcript.test-suite.ts";

function deployment(
  replicas: number,
  image: string,
  rolling: object = { maxSurge: 1, maxUnavailable: 0 },
): Deployment {
  return {
    metadata: { name: "web", namespace: "default" },
    spec: {
      replicas,
      selector: { matchLabels: { app: "web" } },
      template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "c", image }] } },
      strategy: { type: "RollingUpdate", rollingUpdate: rolling },
      progressDeadlineSeconds: 600,
      revisionHistoryLimit: 1,
    },
  } as unknown as Deployment;
}

/** All pods that a ReplicaSet asks for are there and available. */
function settle(world: World): void {
  for (const each of world.list(replicaSets)) {
    const count = each.spec.replicas ?? 0;
    const status = { replicas: count, readyReplicas: count, availableReplicas: count };
    world.put(replicaSets, { ...each, status: { ...status, observedGeneration: 99 } } as ReplicaSet);
  }
}

function change(world: World, edit: (object: Deployment) => void): void {
  const object = structuredClone(world.get(deployments, "default", "web")!);
  edit(object);
  world.put(deployments, object);
}

function run(world: World): string[] {
  return world.run(deploymentController, "default/web").filter((line) => !line.startsWith("requeue"));
}

/** Hashes are whatever they are. */
function masked(lines: readonly string[]): string[] {
  const names = new Map<string, string>();
  return lines.map((line) =>
    line.replaceAll(/web-[a-z0-9]{6,}/g, (name) => {
      if (!names.has(name)) names.set(name, `web-${names.size + 1}`);
      return names.get(name)!;
    }),
  );
}

test("a rolling update grows the new set within the surge and shrinks the old one as pods become available", () => {
  const world = new World();
  world.put(deployments, deployment(2, "img:1"));
  run(world);
  settle(world);
  run(world);
  world.transcript.length = 0;
  change(world, (object) => (object.spec.template.spec!.containers[0]!.image = "img:2"));
  for (let round = 0; round < 4; round++) {
    run(world);
    settle(world);
  }
  const events = masked(world.transcript.filter((line) => line.startsWith("event")));
  assert.deepEqual(events, [
    "event Normal ScalingReplicaSet: Scaled up replica set web-1 from 0 to 1",
    "event Normal ScalingReplicaSet: Scaled down replica set web-2 from 2 to 1",
    "event Normal ScalingReplicaSet: Scaled up replica set web-1 from 1 to 2",
    "event Normal ScalingReplicaSet: Scaled down replica set web-2 from 1 to 0",
  ]);
  const object = world.get(deployments, "default", "web")!;
  assert.equal(object.metadata.annotations?.["deployment.kubernetes.io/revision"], "2");
});

test("going back to an old template makes its set the newest revision again, and history has its limit", () => {
  const world = new World();
  world.put(deployments, deployment(1, "img:1"));
  for (const image of ["img:1", "img:2", "img:3", "img:2"]) {
    change(world, (object) => (object.spec.template.spec!.containers[0]!.image = image));
    for (let round = 0; round < 4; round++) {
      run(world);
      settle(world);
    }
  }
  const sets = world.list(replicaSets).map((each) => ({
    image: each.spec.template?.spec?.containers[0]?.image,
    revision: each.metadata.annotations?.["deployment.kubernetes.io/revision"],
    history: each.metadata.annotations?.["deployment.kubernetes.io/revision-history"],
  }));
  assert.deepEqual(
    sets.sort((a, b) => (a.revision! < b.revision! ? -1 : 1)),
    [
      { image: "img:3", revision: "3", history: undefined },
      { image: "img:2", revision: "4", history: "2" },
    ],
  );
});

test("while a rollout is under way a change of size is shared in proportion", () => {
  const world = new World();
  world.put(deployments, deployment(10, "img:1", { maxSurge: 3, maxUnavailable: 2 }));
  run(world);
  settle(world);
  run(world);
  change(world, (object) => (object.spec.template.spec!.containers[0]!.image = "img:2"));
  run(world);
  change(world, (object) => (object.spec.replicas = 15));
  run(world);
  const sizes = world.list(replicaSets).map((each) => each.spec.replicas ?? 0);
  assert.equal(
    sizes.reduce((sum, each) => sum + each, 0),
    18,
  );
  assert.deepEqual(sizes, [11, 7]);
});

test("a paused Deployment is scaled but not rolled out", () => {
  const world = new World();
  world.put(deployments, deployment(1, "img:1"));
  run(world);
  settle(world);
  run(world);
  change(world, (object) => {
    object.spec.paused = true;
    object.spec.replicas = 3;
    object.spec.template.spec!.containers[0]!.image = "img:2";
  });
  run(world);
  assert.deepEqual(
    world.list(replicaSets).map((each) => each.spec.replicas),
    [3],
  );
  const conditions = world.get(deployments, "default", "web")!.status.conditions ?? [];
  assert.equal(conditions.find((each) => each.type === "Progressing")?.reason, "DeploymentPaused");
});

test("no progress until the deadline is told", () => {
  const world = new World();
  world.put(deployments, deployment(1, "img:1"));
  run(world);
  world.nowMs += 601_000;
  run(world);
  const conditions = world.get(deployments, "default", "web")!.status.conditions ?? [];
  const progress = conditions.find((each) => each.type === "Progressing");
  assert.equal(progress?.reason, "ProgressDeadlineExceeded");
  assert.match(progress.message ?? "", /^ReplicaSet "web-\w+" has timed out progressing\.$/);
});

test("a refused ReplicaSet is told in an event and a condition, and tried again", () => {
  const world = new World();
  world.put(deployments, deployment(1, "img:1"));
  world.refuse = (action) =>
    action.type === "create" ? new StatusError("Forbidden", "no more sets") : undefined;
  const lines = masked(world.run(deploymentController, "default/web", 1));
  assert.deepEqual(lines, [
    "update status of Deployment web",
    'event Warning ReplicaSetCreateError: Failed to create new replica set "web-1": no more sets',
    "retry: no more sets",
  ]);
});
