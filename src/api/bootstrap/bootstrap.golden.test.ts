/** The first objects of a cluster beside those that a real server has after a fresh start. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import type { KubeObject } from "#kinds/object.ts";
import { allKinds } from "#kinds/all.ts";
import { apiServices } from "./api-services.ts";
import { flowSchemas, priorityLevels } from "./flow-control.ts";

const path = new URL("../../../../shared/golden/facts/bootstrap-objects.json", import.meta.url).pathname;
const skip = existsSync(path) ? false : "the golden data are not here";
const now = "<time>";

test("API services, priority levels and flow schemas are upstream's", { skip }, () => {
  const golden = JSON.parse(readFileSync(path, "utf8")) as Record<string, KubeObject[]>;
  for (const { group, plural, objects } of [apiServices(allKinds, now), priorityLevels(), flowSchemas(now)]) {
    const shapeOf = (list: readonly KubeObject[]): unknown =>
      Object.fromEntries(
        list.map(({ metadata, spec, status }) => {
          const { labels, annotations } = metadata;
          const shown = Object.keys((status ?? {}) as object).length === 0 ? undefined : status;
          return [metadata.name, JSON.parse(JSON.stringify({ labels, annotations, spec, status: shown }))];
        }),
      );
    assert.deepEqual(shapeOf(objects), shapeOf(golden[`apis/${group}/v1/${plural}`] ?? []), plural);
  }
});
