/** ConfigMap (v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { deepEqual } from "./equality.ts";
import { type FieldError, forbidden, invalid, tooLong } from "./field-error.ts";
import { defineKind } from "./kind.ts";
import { byteLength, sortedEntries } from "./metadata.ts";
import { configKeyErrors } from "./names.ts";
import type { KubeObject } from "./object.ts";
import { allVerbs } from "./strategy.ts";

/** Limit of the data of ConfigMaps and Secrets. */
export const dataLimitBytes = 1024 * 1024;

interface ConfigMapObject extends KubeObject {
  data?: Record<string, string>;
  binaryData?: Record<string, string>;
  immutable?: boolean;
}

export const configMap = defineKind<ConfigMapObject>({
  group: "",
  version: "v1",
  kind: "ConfigMap",
  plural: "configmaps",
  singular: "configmap",
  shortNames: ["cm"],
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.ConfigMap",
  verbs: allVerbs,
  validate: validateConfigMap,
  validateUpdate(object, old) {
    const errors: FieldError[] = [];
    if (old.immutable === true) {
      const detail = "field is immutable when `immutable` is set";
      if (object.immutable !== true) errors.push(forbidden("immutable", detail));
      if (!deepEqual(object.data ?? {}, old.data ?? {})) errors.push(forbidden("data", detail));
      if (!deepEqual(object.binaryData ?? {}, old.binaryData ?? {}))
        errors.push(forbidden("binaryData", detail));
    }
    return [...errors, ...validateConfigMap(object)];
  },
  columns: [
    nameColumn,
    {
      name: "Data",
      type: "string",
      description: "Number of keys.",
      priority: 0,
      cell: ({ data, binaryData }) => Object.keys(data ?? {}).length + Object.keys(binaryData ?? {}).length,
    },
    ageColumn,
  ],
});

function validateConfigMap({ data, binaryData }: ConfigMapObject): FieldError[] {
  const errors: FieldError[] = [];
  let sizeBytes = 0;
  for (const [key, value] of sortedEntries(data)) {
    errors.push(...configKeyErrors(key).map((each) => invalid(`data[${key}]`, key, each)));
    if (Object.hasOwn(binaryData ?? {}, key))
      errors.push(invalid(`data[${key}]`, key, "duplicate of key present in binaryData"));
    sizeBytes += byteLength(value);
  }
  for (const [key, value] of sortedEntries(binaryData)) {
    errors.push(...configKeyErrors(key).map((each) => invalid(`binaryData[${key}]`, key, each)));
    sizeBytes += base64Length(value);
  }
  // Upstream names the whole object with an empty path here.
  if (sizeBytes > dataLimitBytes) errors.push(tooLong("[]", dataLimitBytes));
  return errors;
}

/** How many bytes base64 text stands for. */
export function base64Length(text: string): number {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  return (text.length / 4) * 3 - padding;
}
