import { test } from "node:test";
import assert from "node:assert/strict";
import { StatusError } from "#base/errors.ts";
import {
  goldenAbsent,
  goldenBody,
  goldenLookup,
  goldenScenarios,
  goldenSchemaOf,
} from "#api/apply/golden-schemas.test-suite.ts";
import type { Schema } from "#kinds/schema.ts";
import { applyJsonPatch, unknownJsonPatchFields } from "./json-patch.ts";
import { isObject } from "./json.ts";
import { applyMergePatch } from "./merge-patch.ts";
import { applyStrategicMergePatch } from "./strategic.ts";

function patched(doc: unknown, ...operations: unknown[]): unknown {
  return applyJsonPatch(doc, operations);
}

function status(run: () => unknown): { code: number; message: string } {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof StatusError);
    return { code: error.code, message: error.message };
  }
  assert.fail("nothing was thrown");
}

test("JSON patch: every operation, on members and elements", () => {
  const doc = { a: 1, list: ["x", "y"], deep: { "s/l~t": true } };
  assert.deepEqual(patched(doc, { op: "add", path: "/b", value: { c: [] } }), { ...doc, b: { c: [] } });
  assert.deepEqual(patched(doc, { op: "add", path: "/list/1", value: "z" }), {
    ...doc,
    list: ["x", "z", "y"],
  });
  assert.deepEqual(patched(doc, { op: "add", path: "/list/-", value: "z" }), {
    ...doc,
    list: ["x", "y", "z"],
  });
  assert.deepEqual(patched(doc, { op: "remove", path: "/list/0" }), { ...doc, list: ["y"] });
  assert.deepEqual(patched(doc, { op: "replace", path: "/list/-1", value: 5 }), { ...doc, list: ["x", 5] });
  assert.deepEqual(patched(doc, { op: "move", from: "/a", path: "/list/0" }), {
    list: [1, "x", "y"],
    deep: doc.deep,
  });
  assert.deepEqual(patched(doc, { op: "copy", from: "/list", path: "/deep/l" }), {
    ...doc,
    deep: { ...doc.deep, l: ["x", "y"] },
  });
  assert.deepEqual(patched(doc, { op: "test", path: "/deep/s~1l~0t", value: true }), doc);
  assert.deepEqual(patched(doc, { op: "test", path: "/none", value: null }), doc);
  assert.deepEqual(patched(doc, { op: "replace", path: "", value: { n: 1 } }), { n: 1 });
});

test("JSON patch: what does not apply is refused and leaves the document alone", () => {
  const doc = { a: "text", list: [1] };
  const refused = [
    { op: "add", path: "", value: {} },
    { op: "add", path: "/none/x", value: 1 },
    { op: "add", path: "/a/x", value: 1 },
    { op: "add", path: "/list/2", value: 1 },
    { op: "remove", path: "/none" },
    { op: "remove", path: "/list/-" },
    { op: "remove", path: "/list/-2" },
    { op: "replace", path: "/list/x", value: 1 },
    { op: "test", path: "/a", value: "other" },
    { op: "move", path: "/x" },
    { op: "merge", path: "/a", value: 1 },
    { path: "/a", value: 1 },
    { op: "add", value: 1 },
    { op: "remove", path: "/constructor" },
  ];
  for (const operation of refused)
    assert.deepEqual(
      status(() => patched(doc, { op: "add", path: "/b", value: 1 }, operation)),
      {
        code: 422,
        message: "the server rejected our request due to an error in our request",
      },
    );
  assert.deepEqual(doc, { a: "text", list: [1] });
  assert.equal(status(() => applyJsonPatch(doc, {})).code, 400);
  assert.equal(status(() => applyJsonPatch(doc, Array(10_001).fill({}))).code, 413);
  assert.deepEqual(unknownJsonPatchFields([{ op: "remove", path: "/a", comment: "x" }]), ["[0].comment"]);
});

test("merge patch", () => {
  const doc = { a: { b: 1, c: 2 }, list: [1, 2] };
  assert.deepEqual(applyMergePatch(doc, { a: { b: null, d: { e: null, f: 1 } }, list: [3] }), {
    a: { c: 2, d: { f: 1 } },
    list: [3],
  });
  assert.deepEqual(applyMergePatch(doc, { constructor: { x: 1 } })["constructor"], { x: 1 });
  assert.equal(status(() => applyMergePatch(doc, null)).message, "Invalid JSON Patch");
  assert.equal(status(() => applyMergePatch(doc, [])).code, 400);
  assert.deepEqual(doc, { a: { b: 1, c: 2 }, list: [1, 2] });
});

const schema: Schema = {
  type: "object",
  properties: {
    items: {
      type: "array",
      "x-kubernetes-patch-strategy": "merge",
      "x-kubernetes-patch-merge-key": "name",
      items: { $ref: "#/components/schemas/Item" },
    },
    names: { type: "array", "x-kubernetes-patch-strategy": "merge", items: { type: "string" } },
    atomic: { type: "array", items: { type: "string" } },
    replaced: { type: "object", "x-kubernetes-patch-strategy": "replace" },
  },
};

function strategic(doc: Record<string, unknown>, patch: unknown): Record<string, unknown> {
  return applyStrategicMergePatch(doc, patch, schema, (name) =>
    name === "Item" ? { type: "object", properties: { name: { type: "string" } } } : undefined,
  );
}

test("strategic merge patch: lists of maps merge by key, new elements come first", () => {
  const doc = { items: [{ name: "a", v: 1 }, { name: "b" }] };
  assert.deepEqual(strategic(doc, { items: [{ name: "c" }, { name: "b", v: 2 }] }), {
    items: [{ name: "c" }, { name: "a", v: 1 }, { name: "b", v: 2 }],
  });
  assert.deepEqual(strategic(doc, { items: [{ name: "a", $patch: "delete" }] }), { items: [{ name: "b" }] });
  assert.deepEqual(strategic(doc, { items: [{ $patch: "replace" }, { name: "z" }] }), {
    items: [{ name: "z" }],
  });
  assert.deepEqual(strategic(doc, { "$setElementOrder/items": [{ name: "b" }, { name: "a" }] }), {
    items: [{ name: "b" }, { name: "a", v: 1 }],
  });
  assert.deepEqual(doc, { items: [{ name: "a", v: 1 }, { name: "b" }] });
});

test("strategic merge patch: scalars, atomic lists and maps", () => {
  const doc = { names: ["a", "b"], atomic: ["x"], replaced: { p: 1 } };
  assert.deepEqual(strategic(doc, { names: ["c", "a"], atomic: ["y"], replaced: { q: 2 } }), {
    names: ["c", "a", "b"],
    atomic: ["y"],
    replaced: { q: 2 },
  });
  assert.deepEqual(strategic(doc, { "$deleteFromPrimitiveList/names": ["a"] })["names"], ["b"]);
  assert.deepEqual(strategic(doc, { $retainKeys: ["atomic"], atomic: ["z"] }), { atomic: ["z"] });
  assert.deepEqual(strategic({}, { replaced: { $patch: "delete" }, atomic: null }), {});
});

test("strategic merge patch: upstream's errors", () => {
  const doc = { items: [{ name: "a" }] };
  assert.deepEqual(
    status(() => strategic(doc, { items: [{ image: "x" }] })),
    {
      code: 500,
      message: "map: map[image:x] does not contain declared merge key: name",
    },
  );
  assert.deepEqual(
    status(() => strategic(doc, { items: [{ name: "a", $patch: "explode" }] })),
    {
      code: 500,
      message: "unknown patch type: explode in map: map[$patch:explode name:a]",
    },
  );
  assert.deepEqual(
    status(() => strategic(doc, { $retainKeys: "x" })),
    {
      code: 400,
      message: "invalid patch format of retainKeys",
    },
  );
});

test(
  "recorded patches give the recorded objects (as far as no default or validation adds to them)",
  {
    skip: goldenAbsent,
  },
  () => {
    const types: Record<string, string> = {
      "application/json-patch+json": "json",
      "application/merge-patch+json": "merge",
      "application/strategic-merge-patch+json": "strategic",
    };
    const differences: string[] = [];
    let compared = 0;
    for (const { file, scenario } of goldenScenarios("patch")) {
      let live: Record<string, unknown> | undefined;
      for (const step of scenario.steps) {
        const recorded = step.response.body;
        if (step.request.method === "POST" && step.response.status === 201) live = recorded;
        const type = types[String(step.request.headers?.["Content-Type"])];
        if (type === undefined || live === undefined || step.response.status >= 500) continue;
        let body: unknown;
        try {
          body = goldenBody(scenario, step);
        } catch {
          continue;
        }
        if (body === undefined || step.response.status >= 400) continue;
        const kind = goldenSchemaOf(String(live["apiVersion"]), String(live["kind"]));
        const result =
          type === "json"
            ? applyJsonPatch(live, body)
            : type === "merge"
              ? applyMergePatch(live, body)
              : applyStrategicMergePatch(live, body, kind, goldenLookup);
        const only = recorded?.["$only"] as Record<string, unknown> | undefined;
        if (only !== undefined && "spec.template.spec" in only) {
          compared++;
          const spec = ["spec", "template", "spec"].reduce<unknown>(
            (at, key) => (at as Record<string, unknown>)?.[key],
            result,
          );
          if (!within(spec, only["spec.template.spec"])) differences.push(`${file}: ${step.name}`);
        } else if (recorded !== undefined && only === undefined) {
          compared++;
          for (const key of Object.keys(recorded))
            if (
              !["metadata", "status"].includes(key) &&
              !within((result as Record<string, unknown>)[key], recorded[key])
            )
              differences.push(`${file}: ${step.name} ${key}`);
          if (step.request.query?.["dryRun"] === undefined) live = recorded;
        }
      }
    }
    assert.ok(compared > 80, `compared ${compared}`);
    // These steps give null, unknown or zero values, which decoding drops.
    const decoded =
      /resizePolicy|nodeSelector deleted|unknown|nul|copy missing|no value|no leading|empty|wrong|directive/;
    assert.deepEqual(
      differences.filter((each) => !decoded.test(each)),
      [],
    );
  },
);

/** Everything in `part` is in `whole`, lists of the same length and order. */
function within(part: unknown, whole: unknown): boolean {
  if (isObject(part))
    return isObject(whole) && Object.keys(part).every((key) => within(part[key], whole[key]));
  if (Array.isArray(part))
    return (
      Array.isArray(whole) && whole.length === part.length && part.every((each, i) => within(each, whole[i]))
    );
  return part === whole;
}
