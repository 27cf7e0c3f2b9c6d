import { test } from "node:test";
import assert from "node:assert/strict";
import type { Schema } from "#kinds/schema.ts";
import type { CustomResourceDefinition, CustomVersion } from "./definition.ts";
import { withDefinitionDefaults } from "./definition-strategy.ts";
import { validateDefinition, validateDefinitionUpdate } from "./validate-definition.ts";

function definition(versions: Partial<CustomVersion>[], storedVersions?: string[]): CustomResourceDefinition {
  return withDefinitionDefaults({
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "things.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "things", kind: "Thing" },
      versions: versions.map((each, index) => ({
        name: `v${index + 1}`,
        served: true,
        storage: index === 0,
        schema: { openAPIV3Schema: { type: "object" } },
        ...each,
      })),
    },
    ...(storedVersions === undefined ? {} : { status: { storedVersions } }),
  });
}

function texts(crd: CustomResourceDefinition, old?: CustomResourceDefinition): string[] {
  const errors = old === undefined ? validateDefinition(crd) : validateDefinitionUpdate(crd, old);
  return errors.map((each) => `${each.field}: ${each.message}`);
}

function withSpec(spec: Schema): Partial<CustomVersion> {
  return { schema: { openAPIV3Schema: { type: "object", properties: { spec } } } };
}

test("selectable fields: few, and each once", () => {
  const names = Array.from({ length: 9 }, (_each, index) => `f${index}`);
  const spec: Schema = {
    type: "object",
    properties: Object.fromEntries(names.map((name) => [name, { type: "string" } as const])),
  };
  const selecting = (fields: readonly string[]) =>
    texts(
      definition([
        { ...withSpec(spec), selectableFields: fields.map((name) => ({ jsonPath: `.spec.${name}` })) },
      ]),
    );
  assert.deepEqual(selecting(names.slice(1)), []);
  assert.deepEqual(selecting(names), ["spec.selectableFields: Too many: 9: must have at most 8 items"]);
  assert.deepEqual(selecting(["f1", "f1"]), [
    'spec.selectableFields[1].jsonPath: Duplicate value: ".spec.f1"',
  ]);
});

test("a version in which objects are stored stays until they are not", () => {
  const both = definition([{}, {}], ["v1", "v2"]);
  const moved = definition([{ storage: false }, { storage: true }], ["v1", "v2"]);
  assert.deepEqual(texts(moved, both), []);
  const gone = definition([{ name: "v2" }], ["v1", "v2"]);
  assert.deepEqual(texts(gone, both), [
    'status.storedVersions[0]: Invalid value: "v1": must appear in spec.versions',
  ]);
  assert.deepEqual(texts(definition([{ name: "v2" }], ["v2"]), both), []);
  assert.deepEqual(texts(definition([{}, {}], ["v2"]), both), [
    'status.storedVersions: Invalid value: []string{"v2"}: must have the storage version v1',
  ]);
});

test("lists by key have keys that can be relied upon", () => {
  const list = (key: Schema, items: Schema = {}): string[] =>
    texts(
      definition([
        withSpec({
          type: "array",
          "x-kubernetes-list-type": "map",
          "x-kubernetes-list-map-keys": ["k"],
          items: { type: "object", required: ["k"], properties: { k: key }, ...items },
        }),
      ]),
    );
  const at = "spec.validation.openAPIV3Schema.properties[spec].items";
  assert.deepEqual(list({ type: "string" }), []);
  assert.deepEqual(list({ type: "string", nullable: true }), [
    `${at}.properties[k].nullable: Forbidden: this property is in x-kubernetes-list-map-keys, so it cannot be nullable`,
  ]);
  assert.deepEqual(list({ type: "string" }, { nullable: true }), [
    `${at}.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is map`,
  ]);
});

test("rules that are stored already are not judged again", () => {
  const costly = withSpec({
    type: "array",
    items: { type: "string" },
    "x-kubernetes-validations": [{ rule: "self.all(x, self.all(y, x != y))" }],
  });
  const stored = definition([costly], ["v1"]);
  assert.notDeepEqual(texts(stored), []);
  assert.deepEqual(texts(stored, stored), []);
});
