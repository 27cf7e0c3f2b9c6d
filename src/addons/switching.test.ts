import assert from "node:assert/strict";
import { test } from "node:test";
import type { Addon } from "./addon.ts";
import { switched } from "./switching.ts";

function addon(name: string, ...requires: string[]): Addon {
  return {
    name,
    description: name,
    requires,
    objects: [],
    nextSteps: () => [],
    start: async () => ({ close: async () => undefined }),
  };
}

const catalogue = [addon("metrics"), addon("scaling", "metrics"), addon("dashboard")];

test("enabling brings what is required", () => {
  const enabled = switched(catalogue, new Set(), { enable: ["scaling"], disable: [] });
  assert.deepEqual([...enabled], ["metrics", "scaling"]);
});

test("what another needs can't be disabled alone", () => {
  const both = new Set(["metrics", "scaling"]);
  assert.throws(() => switched(catalogue, both, { enable: [], disable: ["metrics"] }), {
    message: 'add-on "scaling" needs "metrics": disable "scaling" as well',
  });
  assert.equal(switched(catalogue, both, { enable: [], disable: ["scaling", "metrics"] }).size, 0);
});

test("unknown names are refused together, and nothing changes", () => {
  const wish = { enable: ["dashboard", "dns"], disable: ["gpu"] };
  assert.throws(() => switched(catalogue, new Set(), wish), {
    message: 'there is no add-on "dns", "gpu": the add-ons of this version are metrics, scaling, dashboard',
  });
});

test("an add-on that a newer version enabled stays enabled", () => {
  const enabled = switched(catalogue, new Set(["ingress"]), { enable: ["metrics"], disable: [] });
  assert.deepEqual([...enabled].sort(), ["ingress", "metrics"]);
});
