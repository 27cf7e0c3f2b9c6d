/**
 * A custom resource as a kind: what built-in kinds say in a literal is here made from one version of a
 * CustomResourceDefinition.
 */
import type { Decoded } from "#kinds/decode.ts";
import { invalid } from "#kinds/field-error.ts";
import type { FieldError } from "#kinds/field-error.ts";
import type { AnyKind, Column, StrategyContext, Subresource } from "#kinds/kind.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Schema } from "#kinds/schema.ts";
import { formatAge } from "#kinds/time.ts";
import { equalJson } from "#api/patch/json.ts";
import { RuleSet } from "#api/cel/rule-set.ts";
import { compareVersions } from "#api/discovery/documents.ts";
import { applySchemaDefaults, decodeCustom } from "./decode-custom.ts";
import type { CustomResourceDefinition, CustomVersion, PrinterColumn } from "./definition.ts";
import { evaluateJsonPath, parseJsonPath } from "./json-path.ts";
import { structuralSchema } from "./structural.ts";
import { validateInvariants, validateValue } from "./validate-value.ts";

export interface CustomKind {
  kind: AnyKind;
  schema: Schema;
  decode(value: Record<string, unknown>): Decoded;
}

/** Discovery's order of verbs for custom resources. */
const verbs = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"] as const;

export function customKind(crd: CustomResourceDefinition, version: CustomVersion): CustomKind {
  const { group, scope, names } = crd.spec;
  const schema = structuralSchema(version.schema?.openAPIV3Schema);
  const rules = new RuleSet(schema);
  const hasStatus = version.subresources?.status !== undefined;
  const scale = version.subresources?.scale;
  const check = (object: KubeObject, old: KubeObject | undefined) =>
    validate(object, old, schema, rules, version);
  const kind: AnyKind = {
    group,
    version: version.name,
    kind: names.kind,
    plural: names.plural,
    singular: names.singular ?? names.kind.toLowerCase(),
    ...(names.shortNames === undefined ? {} : { shortNames: names.shortNames }),
    ...(names.categories === undefined ? {} : { categories: names.categories }),
    namespaced: scope === "Namespaced",
    schemaName: "",
    verbs,
    looseFinalizers: true,
    ...(version.deprecated === true
      ? { deprecations: [version.deprecationWarning ?? deprecationOf(crd, version.name)] }
      : {}),
    unconditionalUpdate: false,
    applyDefaults(object: KubeObject) {
      applySchemaDefaults(object, schema);
    },
    prepareCreate(object: KubeObject) {
      if (hasStatus) delete object["status"];
      object.metadata.generation = 1;
    },
    prepareUpdate(object: KubeObject, old: KubeObject) {
      if (hasStatus) keep(object, old, "status");
      countGeneration(object, old);
    },
    validate: (object: KubeObject) => check(object, undefined),
    validateUpdate: check,
    subresources: subresourcesOf(hasStatus, scale !== undefined, check),
    ...(scale === undefined
      ? {}
      : {
          scale: {
            specReplicasPath: scale.specReplicasPath ?? "",
            statusReplicasPath: scale.statusReplicasPath ?? "",
            labelSelectorPath: scale.labelSelectorPath ?? "",
          },
        }),
    fieldSelectors: fieldSelectorsOf(version),
    columns: columnsOf(version.additionalPrinterColumns),
    resetFields: hasStatus ? ["status"] : [],
  };
  return { kind, schema, decode: (value) => decodeCustom(value, schema) };
}

/** What is said of a deprecated version without a text of its own. Names the newest version to go to. */
function deprecationOf(
  { spec: { group, names, versions } }: CustomResourceDefinition,
  version: string,
): string {
  const newer = versions
    .filter((each) => each.served && each.deprecated !== true && compareVersions(each.name, version) > 0)
    .toSorted((left, right) => compareVersions(right.name, left.name));
  const use = newer[0] === undefined ? "" : `; use ${group}/${newer[0].name} ${names.kind}`;
  return `${group}/${version} ${names.kind} is deprecated${use}`;
}

function subresourcesOf(
  hasStatus: boolean,
  hasScale: boolean,
  check: (object: KubeObject, old: KubeObject | undefined) => FieldError[],
): Record<string, Subresource> {
  const objectVerbs = ["get", "patch", "update"] as const;
  return {
    ...(hasStatus
      ? {
          status: {
            verbs: objectVerbs,
            prepareUpdate(object: KubeObject, old: KubeObject, _context: StrategyContext) {
              for (const field of new Set([...Object.keys(object), ...Object.keys(old)]))
                if (!["metadata", "status", "kind", "apiVersion"].includes(field)) keep(object, old, field);
              const { managedFields, resourceVersion } = object.metadata;
              object.metadata = { ...old.metadata };
              if (resourceVersion !== undefined) object.metadata.resourceVersion = resourceVersion;
              if (managedFields === undefined) delete object.metadata.managedFields;
              else object.metadata.managedFields = managedFields;
            },
            validateUpdate: check,
          },
        }
      : {}),
    ...(hasScale
      ? { scale: { speaks: { group: "autoscaling", version: "v1", kind: "Scale" }, verbs: objectVerbs } }
      : {}),
  };
}

/** Every change outside of metadata (and of a status that is a subresource) counts. */
function countGeneration(object: KubeObject, old: KubeObject): void {
  const content = ({ metadata: _metadata, ...rest }: KubeObject) => rest;
  const generation = old.metadata.generation ?? 0;
  object.metadata.generation = equalJson(content(object), content(old)) ? generation : generation + 1;
  if (object.metadata.generation === 0) delete object.metadata.generation;
}

function keep(object: KubeObject, old: KubeObject, field: string): void {
  if (old[field] === undefined) delete object[field];
  else object[field] = old[field];
}

/** Errors after which rules are not evaluated: their expressions could not rely on the schema. */
const blocking = new Set([
  "FieldValueNotSupported",
  "FieldValueRequired",
  "FieldValueTooLong",
  "FieldValueTooMany",
  "FieldValueTypeInvalid",
]);

function validate(
  object: KubeObject,
  old: KubeObject | undefined,
  schema: Schema,
  rules: RuleSet,
  version: CustomVersion,
): FieldError[] {
  const errors = validateValue(object, schema, "", old);
  errors.push(...validateScale(object, version));
  errors.push(...validateInvariants(object, schema));
  if (rules.isEmpty) return errors;
  if (errors.some((each) => blocking.has(each.reason))) {
    errors.push(
      invalid(
        "<nil>",
        null,
        "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
      ),
    );
    return errors;
  }
  return [...errors, ...rules.validate(object, old)];
}

function validateScale(object: KubeObject, version: CustomVersion): FieldError[] {
  const scale = version.subresources?.scale;
  const errors: FieldError[] = [];
  for (const path of [scale?.specReplicasPath, scale?.statusReplicasPath]) {
    const parsed = path === undefined ? undefined : parseJsonPath(path);
    if (path === undefined || parsed === undefined) continue;
    const [replicas] = evaluateJsonPath(parsed, object);
    if (typeof replicas !== "number") continue;
    if (replicas < 0) errors.push(invalid(path, replicas, "should be a non-negative integer"));
    else if (replicas > 2_147_483_647)
      errors.push(invalid(path, replicas, "should be less than or equal to 2147483647"));
  }
  return errors;
}

function fieldSelectorsOf(version: CustomVersion): Record<string, (object: KubeObject) => string> {
  const result: Record<string, (object: KubeObject) => string> = {};
  for (const { jsonPath } of version.selectableFields ?? []) {
    const path = parseJsonPath(jsonPath);
    if (path === undefined) continue;
    result[jsonPath.replace(/^\./, "")] = (object) => {
      const [value] = evaluateJsonPath(path, object);
      return value === undefined ? "" : String(value as string);
    };
  }
  return result;
}

const nameColumn: Column = {
  name: "Name",
  type: "string",
  format: "name",
  description:
    "Name must be unique within a namespace. It is set by the user or generated, and can't be changed.",
  priority: 0,
  cell: (object) => object.metadata.name ?? "",
};

function columnsOf(columns: readonly PrinterColumn[] | undefined): Column[] {
  const shown =
    columns === undefined || columns.length === 0
      ? [
          {
            name: "Age",
            type: "date" as const,
            description: "Time since the object was created.",
            jsonPath: ".metadata.creationTimestamp",
          },
        ]
      : columns;
  return [nameColumn, ...shown.map(columnOf)];
}

function columnOf(column: PrinterColumn): Column {
  const path = parseJsonPath(column.jsonPath);
  return {
    name: column.name,
    type: column.type,
    ...(column.format === undefined ? {} : { format: column.format }),
    description:
      column.description ?? `Custom resource definition column (in JSONPath format): ${column.jsonPath}`,
    priority: column.priority ?? 0,
    cell(object, nowMs) {
      const values = path === undefined ? [] : evaluateJsonPath(path, object);
      const [value] = values;
      if (value === undefined) return null;
      return cellOf(column.type, values.length > 1 && column.type === "string" ? values : value, nowMs);
    },
  };
}

/** A value that does not fit the column's type is shown as nothing. */
function cellOf(type: PrinterColumn["type"], value: unknown, nowMs: number): unknown {
  switch (type) {
    case "integer":
      return typeof value === "number" ? Math.trunc(value) : null;
    case "number":
      return typeof value === "number" ? value : null;
    case "boolean":
      return typeof value === "boolean" ? value : null;
    case "date":
      return typeof value === "string" && !Number.isNaN(Date.parse(value))
        ? formatAge(value, nowMs)
        : "<unknown>";
    case "string":
      return typeof value === "string" ? value : JSON.stringify(value);
  }
}
