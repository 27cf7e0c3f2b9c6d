/**
 * The structural schema of a custom resource: what its definition says, completed with the fields that
 * every object has, and marked as a schema of maps (see `markOpen`), once, when the definition is read.
 */
import type { Schema } from "#kinds/schema.ts";
import { cloneJson } from "#api/patch/json.ts";
import { markOpen } from "#api/apply/schema-tree.ts";

const objectMeta: Schema = { $ref: "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" };

/** The schema for decoding, validation and ownership. The definition's own schema is not changed. */
export function structuralSchema(openApiSchema: Schema | undefined): Schema {
  const schema = cloneJson(
    openApiSchema ?? ({ type: "object", "x-kubernetes-preserve-unknown-fields": true } satisfies Schema),
  );
  complete(schema);
  addObjectFields(schema);
  return schema;
}

/** Whether values with this schema are whole objects, with kind and metadata of their own. */
export function isEmbedded(schema: Schema): boolean {
  return schema["x-kubernetes-embedded-resource"] === true;
}

function addObjectFields(schema: Schema): void {
  schema.properties = {
    ...schema.properties,
    apiVersion: { type: "string" },
    kind: { type: "string" },
    metadata: objectMeta,
  };
}

function complete(schema: Schema): void {
  markOpen(schema);
  if (isEmbedded(schema)) addObjectFields(schema);
  for (const property of Object.values(schema.properties ?? {}))
    if (property !== objectMeta) complete(property);
  if (schema.items !== undefined) complete(schema.items);
  if (typeof schema.additionalProperties === "object") complete(schema.additionalProperties);
}
