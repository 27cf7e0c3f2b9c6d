import assert from "node:assert/strict";
import { test } from "node:test";
import { nodes } from "./kubernetes.ts";
import type { Node } from "./kubernetes.ts";
import { nodeLifecycleController } from "./node-lifecycle.ts";
import { World } from "./transcript.test-suite.ts";

function node(name: string, status: string): Node {
  return { metadata: { name }, status: { conditions: [{ type: "Ready", status }] } } as unknown as Node;
}

function effects(world: World, name: string): string[] {
  return (world.get(nodes, undefined, name)!.spec.taints ?? []).map((each) => each.effect);
}

test("of two lost nodes the second is evicted ten seconds after the first", () => {
  const world = new World();
  const controller = nodeLifecycleController({});
  for (const name of ["a", "b"]) world.put(nodes, node(name, "False"));
  world.put(nodes, node("c", "True"));
  for (const name of ["a", "b"]) world.run(controller, name);
  assert.deepEqual(effects(world, "a"), ["NoSchedule", "NoExecute"]);
  assert.deepEqual(effects(world, "b"), ["NoSchedule"]);
  world.nowMs += 10_000;
  world.run(controller, "b");
  assert.deepEqual(effects(world, "b"), ["NoSchedule", "NoExecute"]);
});

test("when every node is lost none is evicted, and those that were are taken back", () => {
  const world = new World();
  const controller = nodeLifecycleController({});
  for (const name of ["a", "b"]) world.put(nodes, node(name, "False"));
  const taints = [{ key: "node.kubernetes.io/not-ready", effect: "NoExecute" }];
  world.put(nodes, { ...world.get(nodes, undefined, "a")!, spec: { taints } } as unknown as Node);
  for (const name of ["a", "b"]) world.run(controller, name);
  assert.deepEqual(effects(world, "a"), ["NoSchedule"]);
  assert.deepEqual(effects(world, "b"), ["NoSchedule"]);
});

test("a node whose replica is gone is lost once its agent has been silent for 8 s, any other after its lease", () => {
  for (const [isPeerAlive, afterMs] of [
    [false, 8000],
    [true, 40_000],
    [undefined, 40_000],
  ] as const) {
    const world = new World();
    const controller = nodeLifecycleController({ isPeerAlive: () => isPeerAlive });
    world.put(nodes, node("a", "True"));
    world.put(nodes, node("b", "True"));
    const readyAfter = (ms: number) => {
      world.nowMs += ms;
      world.run(controller, "a");
      return world.get(nodes, undefined, "a")!.status.conditions?.find(({ type }) => type === "Ready")
        ?.status;
    };
    assert.equal(readyAfter(0), "True");
    assert.equal(readyAfter(afterMs - 1), "True");
    assert.equal(readyAfter(2), "Unknown");
  }
});
