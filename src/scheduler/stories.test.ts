/**
 * Golden transcripts of the scheduler, `testdata/*.txt`: nodes and pods in, decisions out. Written like the
 * controllers' (`src/controllers/story.test-suite.ts`), with two commands of their own; what follows the "----"
 * is rewritten by UPDATE_GOLDEN=1. Of equally good nodes the first is taken.
 *
 *   put [N]               objects, in YAML documents; `$n` counts from 1 to N
 *   remove KIND KEY
 *   schedule KEY...       decides for these pods, one after the other; who is bound is on the node
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { asStored, kindOf, playBlock, readObjects } from "#controllers/story.test-suite.ts";
import { World } from "#controllers/transcript.test-suite.ts";
import { pods } from "#controllers/kubernetes.ts";
import { SchedulerCache } from "#manager/scheduler-cache.ts";
import type { SharedView } from "#manager/shared-view.ts";
import { schedule } from "./schedule.ts";
import type { Pod } from "./types.ts";

const directory = join(import.meta.dirname, "testdata");

for (const name of readdirSync(directory)) {
  const path = join(directory, name);
  test(`stories of ${name.replace(".txt", "")}`, () => {
    const recorded = readFileSync(path, "utf8");
    const actual = play(recorded);
    if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(path, actual);
    else assert.equal(actual, recorded);
  });
}

function play(text: string): string {
  let world = new World();
  const blocks = text
    .trimEnd()
    .split(/\n\n+/)
    .map((block) => {
      if (block.startsWith("# ")) world = new World();
      return playBlock(block, (command, yaml) => run(world, command, yaml));
    });
  return `${blocks.join("\n\n")}\n`;
}

function run(world: World, command: string, yaml: string): string[] {
  const [verb = "", ...words] = command.split(" ");
  switch (verb) {
    case "put":
      for (const object of readObjects(yaml, Number(words[0] ?? "1"))) {
        world.put(kindOf(object.kind ?? "").resource, asStored(object, world.nowMs));
      }
      return [];
    case "remove":
      world.remove(kindOf(words[0] ?? "").resource, words[1] ?? "");
      return [];
    case "schedule":
      return words.flatMap((key) => decide(world, key));
    default:
      throw new Error(`no such command: ${command}`);
  }
}

function decide(world: World, key: string): string[] {
  const [namespace = "", name = ""] = key.split("/");
  const pod = world.get(pods, namespace, name) as Pod | undefined;
  if (pod === undefined) throw new Error(`there is no pod ${key}`);
  const cache = new SchedulerCache(world as unknown as SharedView);
  for (const each of world.list(pods)) cache.onPod(each as Pod, undefined);
  const decision = schedule(pod, cache.snapshot(pod), () => 0);
  if (decision.type === "unschedulable") {
    const { preemption, message } = decision;
    if (preemption === undefined) return [`${key}: ${message}`];
    const victims = preemption.victims.map((each) => each.metadata.name).join(", ");
    return [`${key}: ${message}`, `${key}: ${preemption.nodeName} without ${victims}`];
  }
  const { nodeName, volumes } = decision;
  world.put(pods, { ...pod, spec: { ...pod.spec, nodeName } } as never);
  const bound = volumes.bind.map(
    ({ claim, volume }) => `${key}: claim ${claim.metadata.name} to volume ${volume.metadata.name}`,
  );
  const provisioned = volumes.provision.map(
    (claim) => `${key}: claim ${claim.metadata.name} is provisioned for ${nodeName}`,
  );
  return [`${key} -> ${nodeName}`, ...bound, ...provisioned];
}
