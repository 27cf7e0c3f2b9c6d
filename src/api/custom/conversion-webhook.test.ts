import { test } from "node:test";
import assert from "node:assert/strict";
import type { CustomResourceDefinition } from "./definition.ts";
import { validateDefinition } from "./validate-definition.ts";

/** A definition whose conversion is a webhook's, with versions of these names. */
function converted(...names: string[]): CustomResourceDefinition {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "things.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "things", singular: "thing", kind: "Thing", listKind: "ThingList" },
      versions: names.map((name, index) => ({
        name,
        served: true,
        storage: index === 0,
        schema: { openAPIV3Schema: { type: "object" } },
      })),
      conversion: { strategy: "Webhook" },
    },
  };
}

test("a webhook that would have to convert is refused; with one version there is nothing to convert", () => {
  assert.deepEqual(validateDefinition(converted("v1")), []);
  const [error] = validateDefinition(converted("v1", "v2"));
  assert.equal(error?.field, "spec.conversion.strategy");
  assert.match(JSON.stringify(error), /not implemented/);
});
