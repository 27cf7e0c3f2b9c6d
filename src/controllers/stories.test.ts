/**
 * Golden transcripts of the controllers, `testdata/CONTROLLER.txt`: the commands are written by hand, what
 * follows the "----" by UPDATE_GOLDEN=1. The language is described in `story.test-suite.ts`.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { controllersFor } from "#manager/control-loops.ts";
import type { ManagerOptions } from "#manager/options.ts";
import type { Controller } from "./controller.ts";
import { playStories } from "./story.test-suite.ts";

const leastStories = 3;

const options = {
  clusterCidr: "10.42.0.0/16",
  serviceCidr: "10.43.0.0/16",
  rootCa: "(the authority)",
  nodeName: "node-a",
  certificates: {},
} as ManagerOptions;

function controllers(): Controller[] {
  return controllersFor(options, 7);
}

for (const { name } of controllers()) {
  const path = join(import.meta.dirname, "testdata", `${name}.txt`);
  test(`stories of ${name}`, () => {
    assert.ok(existsSync(path), `there are no stories of ${name}`);
    const recorded = readFileSync(path, "utf8");
    const titles = recorded.split("\n").filter((line) => line.startsWith("# "));
    assert.ok(titles.length >= leastStories, `${name} has only ${titles.length} stories`);
    const actual = playStories(recorded, () => controllers().find((each) => each.name === name)!);
    if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(path, actual);
    else assert.equal(actual, recorded);
  });
}
