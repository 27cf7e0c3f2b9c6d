/**
 * Derives src/kinds/schema/definitions.json from a recorded OpenAPI v3 (one file per group and version):
 * names, types, defaults, enumerations and the x-kubernetes extensions, without descriptions and paths.
 * A reference that upstream writes as `allOf` with one member becomes a plain `$ref` beside its default.
 * Properties stand in the order of upstream's Go fields where src/kinds/schema/protobuf.json has them
 * (derive that after a change of definitions, then this again).
 * Usage: node scripts/derive-schemas.ts [folder]   (default ../shared/golden/facts/openapi-v3)
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageFields } from "#kinds/protobuf.ts";

type Json = Record<string, unknown>;

const root = join(import.meta.dirname, "..");
const folder = process.argv[2] ?? join(root, "../shared/golden/facts/openapi-v3");
const definitions: Record<string, unknown> = {};

/** Of the definitions that upstream's clients know no protobuf of. Last names of the definitions. */
const goFields: Readonly<Record<string, string>> = {
  APIServiceSpec: "service group version insecureSkipTLSVerify caBundle groupPriorityMinimum versionPriority",
  ServiceReference: "namespace name path port",
  CustomResourceDefinitionSpec: "group names scope versions conversion preserveUnknownFields",
  CustomResourceDefinitionNames: "plural singular shortNames kind listKind categories",
  CustomResourceDefinitionVersion:
    "name served storage deprecated deprecationWarning schema subresources additionalPrinterColumns selectableFields",
  CustomResourceDefinitionStatus: "conditions acceptedNames storedVersions",
  CustomResourceDefinitionCondition: "type status lastTransitionTime reason message",
  APIServiceCondition: "type status lastTransitionTime reason message",
  JSONSchemaProps:
    "id $schema $ref description type format title default maximum exclusiveMaximum minimum exclusiveMinimum maxLength minLength pattern maxItems minItems uniqueItems multipleOf enum maxProperties minProperties required items allOf oneOf anyOf not properties additionalProperties patternProperties dependencies additionalItems definitions externalDocs example nullable",
  CustomResourceColumnDefinition: "name type format description priority jsonPath",
};

for (const file of readdirSync(folder).sort()) {
  const document = JSON.parse(readFileSync(join(folder, file), "utf8")) as {
    components?: { schemas?: Record<string, Json> };
  };
  for (const [name, schema] of Object.entries(document.components?.schemas ?? {}))
    definitions[name] = inGoOrder(name, flatten(schema) as Json);
}

const names = Object.keys(definitions).sort();
const lines = names.map((name) => `${JSON.stringify(name)}:${JSON.stringify(definitions[name])}`);
writeFileSync(join(root, "src/kinds/schema/definitions.json"), `{\n${lines.join(",\n")}\n}\n`);
console.log(`${names.length} definitions`);

/** Upstream's objects begin with their type; then come the fields as the struct declares them. */
function inGoOrder(name: string, schema: Json): Json {
  const properties = schema["properties"] as Json | undefined;
  if (properties === undefined) return schema;
  const order = fieldOrder(name);
  if (!order.includes("kind") && !order.includes("apiVersion")) order.unshift("kind", "apiVersion");
  const rank = (key: string): number => (order.includes(key) ? order.indexOf(key) : order.length);
  const sorted = Object.entries(properties).sort(([left], [right]) => rank(left) - rank(right));
  return { ...schema, properties: Object.fromEntries(sorted) };
}

function fieldOrder(name: string): string[] {
  const fields = [...(messageFields(name)?.values() ?? [])];
  if (fields.length === 0) return goFields[name.slice(name.lastIndexOf(".") + 1)]?.split(" ") ?? [];
  return fields.flatMap((field) => (field.form === "inline" ? fieldOrder(field.type) : [field.name]));
}

function flatten(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(flatten);
  if (typeof value !== "object" || value === null) return value;
  const result: Json = {};
  for (const [key, each] of Object.entries(value)) {
    // A property may be called "description"; only texts are left out.
    if (key === "description" && typeof each === "string") continue;
    if (key === "allOf" && Array.isArray(each) && each.length === 1) Object.assign(result, flatten(each[0]));
    else result[key] = flatten(each);
  }
  return result;
}
