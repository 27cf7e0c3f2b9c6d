/** Validation of a CustomResourceDefinition, in upstream's order and texts (apiextensions, validation). */
import { goStrings } from "#kinds/go-syntax.ts";
import { duplicate, forbidden, invalid, notSupported, required, tooMany } from "#kinds/field-error.ts";
import type { FieldError } from "#kinds/field-error.ts";
import type { Schema } from "#kinds/schema.ts";
import { dns1035LabelErrors, dnsSubdomainErrors } from "#kinds/names.ts";
import { reviewVersionErrors, webhookClientErrors } from "#kinds/webhooks.ts";
import { equalJson } from "#api/patch/json.ts";
import { approvalAnnotation, approvalOf } from "./approval.ts";
import type { CustomNames, CustomResourceDefinition, CustomVersion, PrinterColumn } from "./definition.ts";
import { isEstablished } from "./definition.ts";
import { parseJsonPath } from "./json-path.ts";
import { validateDefinitionSchema } from "./validate-schema.ts";

/**
 * Expects a definition with its defaults. `old`: what is stored of it, whose rules are not judged again
 * where its schema has not changed.
 */
export function validateDefinition(
  crd: CustomResourceDefinition,
  old?: CustomResourceDefinition,
): FieldError[] {
  const { name } = crd.metadata;
  const spec = crd.spec ?? ({} as CustomResourceDefinition["spec"]);
  const names = spec.names ?? ({} as CustomNames);
  const errors: FieldError[] = [];
  if (name !== undefined && name !== "" && name !== `${names.plural ?? ""}.${spec.group ?? ""}`)
    errors.push(invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'));
  errors.push(...validateGroup(spec.group ?? ""));
  if (!spec.scope) errors.push(required("spec.scope"));
  else if (spec.scope !== "Cluster" && spec.scope !== "Namespaced")
    errors.push(notSupported("spec.scope", spec.scope, ["Cluster", "Namespaced"]));
  if (spec.preserveUnknownFields === true)
    errors.push(
      invalid("spec.preserveUnknownFields", true, "must be false in order to use defaults in the schema"),
    );
  for (const [index, version] of (spec.versions ?? []).entries())
    if (version.schema?.openAPIV3Schema === undefined)
      errors.push(required(`spec.versions[${index}].schema.openAPIV3Schema`, "schemas are required"));
  const isStored: IsStored = (schema) =>
    old?.spec.versions.some((each) => equalJson(each.schema?.openAPIV3Schema, schema)) === true;
  errors.push(...validateVersions(spec.versions ?? [], Array.isArray(spec.versions), isStored));
  errors.push(...validateNames(names));
  errors.push(...validateHoisted(spec.versions ?? [], isStored));
  errors.push(...validateConversion(spec.conversion ?? { strategy: "None" }));
  errors.push(...validateApproval(crd, old));
  if (crd.status !== undefined)
    errors.push(...validateStoredVersions(crd.status.storedVersions ?? [], spec.versions ?? []));
  return errors;
}

/** What was stored without approval may stay so. */
function validateApproval(crd: CustomResourceDefinition, old?: CustomResourceDefinition): FieldError[] {
  const { annotations } = crd.metadata;
  const approval = approvalOf(crd.spec?.group ?? "", annotations);
  const before = old === undefined ? undefined : approvalOf(old.spec.group, old.metadata.annotations);
  if (approval === undefined || approval.state === before?.state) return [];
  const at = `metadata.annotations[${approvalAnnotation}]`;
  if (approval.state === "missing") return [required(at, approval.message)];
  return approval.state === "invalid"
    ? [invalid(at, annotations?.[approvalAnnotation], approval.message)]
    : [];
}

/** What an update may not change: names and scope once the definition is served. */
export function validateDefinitionUpdate(
  crd: CustomResourceDefinition,
  old: CustomResourceDefinition,
): FieldError[] {
  const errors = validateDefinition(crd, old);
  const fixed = (path: string, value: unknown, before: unknown) => {
    if (!equalJson(value, before)) errors.push(invalid(path, value, "field is immutable"));
  };
  if (isEstablished(old)) {
    fixed("spec.scope", crd.spec.scope, old.spec.scope);
    fixed("spec.names.kind", crd.spec.names.kind, old.spec.names.kind);
  }
  fixed("spec.group", crd.spec.group, old.spec.group);
  fixed("spec.names.plural", crd.spec.names.plural, old.spec.names.plural);
  const isRename = (error: FieldError) => error.field === "metadata.name";
  return errors.filter((each) => !isRename(each));
}

/** Upstream's internal form has the webhook's parts beside the strategy, and so have its paths. */
function validateConversion({
  strategy,
  webhook,
}: NonNullable<CustomResourceDefinition["spec"]["conversion"]>): FieldError[] {
  const at = "spec.conversion";
  const client = `${at}.webhookClientConfig`;
  const versions = webhook?.conversionReviewVersions ?? [];
  const errors: FieldError[] = [];
  if (strategy === "") errors.push(required(`${at}.strategy`));
  else if (strategy !== "None" && strategy !== "Webhook")
    errors.push(notSupported(`${at}.strategy`, strategy, ["None", "Webhook"]));
  if (strategy !== "Webhook") {
    const unexpected = "should not be set when strategy is not set to Webhook";
    if (webhook?.clientConfig !== undefined) errors.push(forbidden(client, unexpected));
    if (versions.length > 0) errors.push(forbidden(`${at}.conversionReviewVersions`, unexpected));
    return errors;
  }
  if (webhook?.clientConfig === undefined)
    errors.push(required(client, "required when strategy is set to Webhook"));
  else errors.push(...webhookClientErrors(webhook.clientConfig, client));
  return [...errors, ...reviewVersionErrors(versions, `${at}.conversionReviewVersions`, "")];
}

function validateStoredVersions(stored: readonly string[], versions: readonly CustomVersion[]): FieldError[] {
  const at = "status.storedVersions";
  if (stored.length === 0)
    return [invalid(at, goStrings(undefined), "must have at least one stored version")];
  const errors: FieldError[] = [];
  const left = new Map(stored.map((version, index) => [version, index]));
  for (const { name, storage } of versions) {
    // A name that has been counted is not there a second time.
    if (storage === true && !left.has(name))
      errors.push(invalid(at, goStrings(stored), `must have the storage version ${name}`));
    left.delete(name);
  }
  for (const [version, index] of left)
    errors.push(invalid(`${at}[${index}]`, version, "must appear in spec.versions"));
  return errors;
}

function validateGroup(group: string): FieldError[] {
  if (group === "") return [required("spec.group")];
  const problems = dnsSubdomainErrors(group);
  if (problems.length > 0) return [invalid("spec.group", group, problems.join(","))];
  return group.includes(".")
    ? []
    : [invalid("spec.group", group, "should be a domain with at least one dot")];
}

type IsStored = (schema: Schema) => boolean;

function validateVersions(
  versions: readonly CustomVersion[],
  isGiven: boolean,
  isStored: IsStored,
): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, version] of versions.entries()) {
    const path = `spec.versions[${index}]`;
    const problems = dns1035LabelErrors(version.name ?? "");
    if (problems.length > 0) errors.push(invalid(`${path}.name`, version.name ?? "", problems.join(",")));
    if (version.deprecationWarning !== undefined && version.deprecated !== true)
      errors.push(
        invalid(
          `${path}.deprecationWarning`,
          version.deprecationWarning,
          "can only be set for deprecated versions",
        ),
      );
    if (
      !hoists(versions, (each) => each.schema?.openAPIV3Schema) &&
      version.schema?.openAPIV3Schema !== undefined
    )
      errors.push(
        ...validateDefinitionSchema(
          version.schema.openAPIV3Schema,
          `${path}.schema.openAPIV3Schema`,
          version.subresources?.status !== undefined,
          !isStored(version.schema.openAPIV3Schema),
        ),
      );
    if (!hoists(versions, (each) => each.subresources))
      errors.push(...validateSubresources(version, `${path}.subresources`));
    if (!hoists(versions, (each) => each.additionalPrinterColumns))
      errors.push(...validateColumns(version.additionalPrinterColumns, `${path}.additionalPrinterColumns`));
    if (!hoists(versions, (each) => each.selectableFields))
      errors.push(...validateSelectableFields(version, `${path}.selectableFields`));
  }
  if (new Set(versions.map((each) => each.name)).size !== versions.length)
    errors.push(invalid("spec.versions", goVersions(versions), "must contain unique version names"));
  if (versions.filter((each) => each.storage).length !== 1)
    errors.push(
      invalid(
        "spec.versions",
        goVersions(versions, isGiven),
        "must have exactly one version marked as storage version",
      ),
    );
  return errors;
}

/** What all versions have alike stands at the top in upstream's internal form, and so in its paths. */
function validateHoisted(versions: readonly CustomVersion[], isStored: IsStored): FieldError[] {
  const [first] = versions;
  if (first === undefined) return [];
  const errors: FieldError[] = [];
  // Upstream's internal form repeats the name of the first version.
  const problems = (first.name ?? "") === "" ? [] : dns1035LabelErrors(first.name);
  if (problems.length > 0) errors.push(invalid("spec.version", first.name, problems.join(",")));
  const schema = first.schema?.openAPIV3Schema;
  if (schema !== undefined && hoists(versions, (each) => each.schema?.openAPIV3Schema))
    errors.push(
      ...validateDefinitionSchema(
        schema,
        "spec.validation.openAPIV3Schema",
        first.subresources?.status !== undefined,
        !isStored(schema),
      ),
    );
  if (hoists(versions, (each) => each.subresources))
    errors.push(...validateSubresources(first, "spec.subresources"));
  if (hoists(versions, (each) => each.additionalPrinterColumns))
    errors.push(...validateColumns(first.additionalPrinterColumns, "spec.additionalPrinterColumns"));
  if (hoists(versions, (each) => each.selectableFields))
    errors.push(...validateSelectableFields(first, "spec.selectableFields"));
  return errors;
}

function hoists(versions: readonly CustomVersion[], part: (version: CustomVersion) => unknown): boolean {
  const [first, ...others] = versions;
  return first !== undefined && others.every((each) => equalJson(part(first), part(each)));
}

/** As upstream's internal form is printed: what all versions have alike has left them for the top. */
function goVersions(versions: readonly CustomVersion[], isGiven = true): { goSyntax: string } {
  const type = "apiextensions.CustomResourceDefinitionVersion";
  if (versions.length === 0) return { goSyntax: isGiven ? `[]${type}{}` : `[]${type}(nil)` };
  const own = <T>(version: CustomVersion, part: (version: CustomVersion) => T): T | undefined =>
    hoists(versions, part) ? undefined : part(version);
  const each = versions.map((version) => {
    const pointer = (name: string, value: unknown) =>
      `(*${name})(${value === undefined ? "nil" : "0xc000000000"})`;
    return (
      `${type}{Name:${JSON.stringify(version.name ?? "")}, Served:${String(version.served ?? false)}, ` +
      `Storage:${String(version.storage ?? false)}, Deprecated:${String(version.deprecated ?? false)}, ` +
      `DeprecationWarning:${pointer("string", version.deprecationWarning)}, ` +
      `Schema:${pointer(
        "apiextensions.CustomResourceValidation",
        own(version, ({ schema }) => schema),
      )}, ` +
      `Subresources:${pointer(
        "apiextensions.CustomResourceSubresources",
        own(version, ({ subresources }) => subresources),
      )}, ` +
      `AdditionalPrinterColumns:${goColumns(own(version, (some) => some.additionalPrinterColumns))}, ` +
      `SelectableFields:${goFields(own(version, (some) => some.selectableFields))}}`
    );
  });
  return { goSyntax: `[]${type}{${each.join(", ")}}` };
}

function goColumns(columns: readonly PrinterColumn[] | undefined): string {
  const type = "apiextensions.CustomResourceColumnDefinition";
  return goList(type, columns, (each) => {
    const texts = [each.name, each.type, each.format, each.description].map((text) =>
      JSON.stringify(text ?? ""),
    );
    return (
      `${type}{Name:${texts[0]}, Type:${texts[1]}, Format:${texts[2]}, Description:${texts[3]}, ` +
      `Priority:${each.priority ?? 0}, JSONPath:${JSON.stringify(each.jsonPath ?? "")}}`
    );
  });
}

function goFields(fields: readonly { jsonPath: string }[] | undefined): string {
  const type = "apiextensions.SelectableField";
  return goList(type, fields, (each) => `${type}{JSONPath:${JSON.stringify(each.jsonPath ?? "")}}`);
}

function goList<T>(type: string, list: readonly T[] | undefined, print: (each: T) => string): string {
  return list === undefined ? `[]${type}(nil)` : `[]${type}{${list.map(print).join(", ")}}`;
}

function validateNames(names: CustomNames): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of ["plural", "singular", "kind", "listKind"] as const)
    if ((names[field] ?? "") === "") errors.push(required(`spec.names.${field}`));
  const label = (path: string, value: string | undefined, prefix = "", checked = value) => {
    if (value === undefined || value === "") return;
    const problems = dns1035LabelErrors(checked ?? "");
    if (problems.length > 0) errors.push(invalid(path, value, prefix + problems.join(",")));
  };
  const mixed = "may have mixed case, but should otherwise match: ";
  label("spec.names.plural", names.plural);
  label("spec.names.singular", names.singular);
  label("spec.names.kind", names.kind, mixed, names.kind?.toLowerCase());
  label("spec.names.listKind", names.listKind, mixed, names.listKind?.toLowerCase());
  for (const list of ["shortNames", "categories"] as const)
    for (const [index, value] of (names[list] ?? []).entries()) {
      const problems = dns1035LabelErrors(value);
      if (problems.length > 0)
        errors.push(invalid(`spec.names.${list}[${index}]`, value, problems.join(",")));
    }
  if (names.kind !== undefined && names.kind !== "" && names.kind === names.listKind)
    errors.push(invalid("spec.names.listKind", names.listKind, "kind and listKind may not be the same"));
  return errors;
}

function validateSubresources(version: CustomVersion, path: string): FieldError[] {
  const scale = version.subresources?.scale;
  if (scale === undefined) return [];
  const errors: FieldError[] = [];
  const check = (
    field: keyof typeof scale,
    prefixes: readonly string[],
    where: string,
    isRequired: boolean,
  ) => {
    const value = scale[field] ?? "";
    const at = `${path}.scale.${field}`;
    if (value === "") {
      if (isRequired) errors.push(required(at));
    } else if (!value.startsWith(".") || parseJsonPath(value) === undefined)
      errors.push(invalid(at, value, "must be a simple json path starting with ."));
    else if (!prefixes.some((prefix) => value.startsWith(prefix)))
      errors.push(invalid(at, value, `should be a json path under ${where}`));
  };
  check("specReplicasPath", [".spec."], ".spec", true);
  check("statusReplicasPath", [".status."], ".status", true);
  check("labelSelectorPath", [".spec.", ".status."], "either .spec or .status", false);
  return errors;
}

const columnTypes = ["boolean", "date", "integer", "number", "string"];
const columnFormats = [
  "binary",
  "byte",
  "date",
  "date-time",
  "double",
  "float",
  "int32",
  "int64",
  "password",
];

function validateColumns(columns: readonly PrinterColumn[] | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, column] of (columns ?? []).entries()) {
    const at = `${path}[${index}]`;
    if ((column.name ?? "") === "") errors.push(required(`${at}.name`));
    const types = `must be one of ${columnTypes.join(",")}`;
    if (!column.type) errors.push(required(`${at}.type`, types));
    else if (!columnTypes.includes(column.type)) errors.push(invalid(`${at}.type`, column.type, types));
    if (column.format !== undefined && column.format !== "" && !columnFormats.includes(column.format))
      errors.push(invalid(`${at}.format`, column.format, `must be one of ${columnFormats.join(",")}`));
    if ((column.jsonPath ?? "") === "") errors.push(required(`${at}.JSONPath`));
    else if (!column.jsonPath.startsWith("."))
      errors.push(invalid(`${at}.JSONPath`, column.jsonPath, "must be a simple json path starting with ."));
  }
  return errors;
}

/** Upstream's limit for one version. */
const selectableFieldsMax = 8;

function validateSelectableFields(version: CustomVersion, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { selectableFields, schema } = version;
  if (selectableFields === undefined) return [];
  if (schema?.openAPIV3Schema === undefined)
    return [
      invalid(
        path,
        "",
        "selectableFields may only be set when version.schema.openAPIV3Schema is not included",
      ),
    ];
  const paths = new Set<string>();
  for (const [index, { jsonPath }] of selectableFields.entries()) {
    const at = `${path}[${index}].jsonPath`;
    if ((jsonPath ?? "") === "") {
      errors.push(required(at));
      continue;
    }
    const steps = parseJsonPath(jsonPath);
    let target = schema.openAPIV3Schema as typeof schema.openAPIV3Schema | undefined;
    for (const step of steps ?? [])
      target = step.type === "member" ? target?.properties?.[step.name] : undefined;
    if (steps === undefined || target === undefined)
      errors.push(invalid(at, jsonPath, "is an invalid path: does not refer to a valid field"));
    else if (!["string", "boolean", "integer"].includes(target.type ?? ""))
      errors.push(
        invalid(
          at,
          jsonPath,
          "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
        ),
      );
    else if (jsonPath.startsWith(".metadata"))
      errors.push(invalid(at, jsonPath, "must not point to fields in metadata"));
    else if (paths.has(jsonPath)) errors.push(duplicate(at, jsonPath));
    paths.add(jsonPath);
  }
  if (paths.size > selectableFieldsMax) errors.push(tooMany(path, paths.size, selectableFieldsMax));
  return errors;
}
