/**
 * The annotation that client-side apply keeps its last configuration in. A server-side apply by kubectl
 * may take over the fields that it records, and keeps it up to date.
 */
import { setMember } from "#base/member.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Schema } from "#kinds/schema.ts";
import { isObject, own } from "#api/patch/json.ts";
import type { JsonObject } from "#api/patch/json.ts";
import { compareObjects, fieldsOf } from "./compare.ts";
import { difference, union } from "./field-set.ts";
import type { FieldSet } from "./field-set.ts";
import type { SchemaLookup } from "./schema-tree.ts";

const annotation = "kubectl.kubernetes.io/last-applied-configuration";

/** Annotations larger than this in total are refused by validation; the annotation then goes instead. */
const annotationsBytesMax = 256 * 1024;

/** Fields of the recorded configuration that the live object still has with the same value. */
export function fieldsAgreedByClientSideApply(
  live: KubeObject,
  schema: Schema | undefined,
  lookup: SchemaLookup,
): FieldSet | undefined {
  const text = own(live.metadata.annotations, annotation);
  if (text === undefined) return undefined;
  let recorded: unknown;
  try {
    recorded = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(recorded)) return undefined;
  const { added, modified } = compareObjects(live, recorded, schema, lookup);
  return difference(fieldsOf(recorded, schema, lookup), union(added, modified));
}

/** Writes the configuration into the annotation, where the object has it. */
export function refreshLastApplied(object: KubeObject, configuration: KubeObject): void {
  const { annotations } = object.metadata;
  if (annotations === undefined || own(annotations, annotation) === undefined) return;
  const { [annotation]: _recorded, ...others } = configuration.metadata?.annotations ?? {};
  const text = `${sortedJson({
    ...configuration,
    metadata: {
      ...configuration.metadata,
      ...(configuration.metadata?.annotations === undefined ? {} : { annotations: others }),
    },
  })}\n`;
  if (text.length <= annotationsBytesMax) annotations[annotation] = text;
  else delete annotations[annotation];
}

function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) => {
    if (!isObject(member)) return member;
    const sorted: JsonObject = {};
    for (const key of Object.keys(member).sort()) setMember(sorted, key, member[key]);
    return sorted;
  });
}
