/**
 * Validation of the schema in a CustomResourceDefinition: what is supported of JSON schema, that it is
 * structural, and that its defaults fit (apiextensions, validation and schema packages).
 */
import { forbidden, invalid, notSupported, required } from "#kinds/field-error.ts";
import type { FieldError } from "#kinds/field-error.ts";
import type { Schema } from "#kinds/schema.ts";
import { RuleSet } from "#api/cel/rule-set.ts";
import { cloneJson, isObject } from "#api/patch/json.ts";
import { applySchemaDefaults, decodeCustom } from "./decode-custom.ts";
import { goValue } from "./go-value.ts";
import { validateRules, validateRuleTexts } from "./validate-rules.ts";
import { patternOf, validateValue } from "./validate-value.ts";

/**
 * `path` is where the schema stands, for the fields of errors; `hasStatus`: the status is a subresource;
 * `judgesRules`: its expressions are new.
 */
export function validateDefinitionSchema(
  schema: Schema,
  path: string,
  hasStatus: boolean,
  judgesRules: boolean,
): FieldError[] {
  const errors: FieldError[] = [];
  if (hasStatus && (schema.type ?? "object") !== "object")
    errors.push(
      invalid(
        `${path}.type`,
        schema.type,
        'only "object" is allowed as the type at the root of the schema if the status subresource is enabled',
      ),
    );
  if (schema.nullable === true)
    errors.push(forbidden(`${path}.nullable`, "nullable cannot be true at the root"));
  checkSupported(schema, path, errors, true);
  // A schema that can't be read as a structural one is not judged as one.
  const isReadable = !errors.some((each) => each.message.endsWith(" is not supported"));
  if (isReadable) checkStructural(schema, path, "root", errors);
  if (errors.length === 0 && judgesRules) errors.push(...validateRules(schema, path));
  if (errors.length === 0) checkDefaults(schema, path, errors);
  return errors;
}

/** Members of JSON schema that upstream's types have and refuse. */
const unsupported = [
  "$ref",
  "id",
  "patternProperties",
  "definitions",
  "dependencies",
  "additionalItems",
] as const;

function checkSupported(schema: Schema, path: string, errors: FieldError[], isValue: boolean): void {
  const raw = schema as Record<string, unknown>;
  for (const keyword of unsupported)
    if (raw[keyword] !== undefined)
      errors.push(forbidden(`${path}.${keyword}`, `${keyword} is not supported`));
  if (schema.uniqueItems === true)
    errors.push(
      forbidden(
        `${path}.uniqueItems`,
        "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
      ),
    );
  if (schema.additionalProperties === false)
    errors.push(forbidden(`${path}.additionalProperties`, "additionalProperties cannot be set to false"));
  else if (schema.additionalProperties !== undefined && schema.properties !== undefined)
    errors.push(
      forbidden(`${path}.additionalProperties`, "additionalProperties and properties are mutual exclusive"),
    );
  if ((schema.type as string | undefined) === "null")
    errors.push(forbidden(`${path}.type`, "type cannot be set to null, use nullable as an alternative"));
  if (Array.isArray(schema.items))
    errors.push(forbidden(`${path}.items`, "items must be a schema object and not an array"));
  checkPattern(schema, path, errors);
  if (schema["x-kubernetes-preserve-unknown-fields"] === false)
    errors.push(invalid(`${path}.x-kubernetes-preserve-unknown-fields`, false, "must be true or undefined"));
  if (isValue) {
    checkMapType(schema, path, errors);
    checkListType(schema, path, errors);
    errors.push(...validateRuleTexts(schema, path));
  }
  for (const [name, property] of Object.entries(schema.properties ?? {}))
    checkSupported(property, `${path}.properties[${name}]`, errors, isValue);
  if (isObject(schema.items)) checkSupported(schema.items, `${path}.items`, errors, isValue);
  if (isObject(schema.additionalProperties))
    checkSupported(schema.additionalProperties, `${path}.additionalProperties`, errors, isValue);
  forEachComposition(schema, path, (each, at) => checkSupported(each, at, errors, false));
}

function checkPattern(schema: Schema, path: string, errors: FieldError[]): void {
  if (schema.pattern === undefined) return;
  try {
    patternOf(schema.pattern);
  } catch (error) {
    errors.push(
      invalid(
        `${path}.pattern`,
        schema.pattern,
        `must be a valid regular expression, but isn't: error parsing regexp: ${goRegexpError(error, schema.pattern)}`,
      ),
    );
  }
}

/** Go's words for the commonest mistakes in a pattern. */
function goRegexpError(error: unknown, pattern: string): string {
  const text = error instanceof Error ? error.message : String(error);
  if (text.includes("Unterminated group")) return `missing closing ): \`${pattern}\``;
  if (text.includes("Unmatched ')'")) return `unexpected ): \`${pattern}\``;
  if (text.includes("Unterminated character class"))
    return `missing closing ]: \`${pattern.slice(pattern.lastIndexOf("["))}\``;
  if (text.includes("Nothing to repeat"))
    return `missing argument to repetition operator: \`${/[*+?]/.exec(pattern)?.[0] ?? ""}\``;
  return text.replace(/^Invalid regular expression: /, "");
}

function checkMapType(schema: Schema, path: string, errors: FieldError[]): void {
  const mapType = schema["x-kubernetes-map-type"] as string | undefined;
  if (mapType === undefined) return;
  if (schema.type !== "object")
    errors.push(wrongType(schema, path, "must be object if x-kubernetes-map-type is specified"));
  if (mapType !== "atomic" && mapType !== "granular")
    errors.push(notSupported(`${path}.x-kubernetes-map-type`, mapType, ["atomic", "granular"]));
}

function wrongType(schema: Schema, path: string, detail: string): FieldError {
  return schema.type === undefined
    ? required(`${path}.type`, detail)
    : invalid(`${path}.type`, schema.type, detail);
}

function checkListType(schema: Schema, path: string, errors: FieldError[]): void {
  const listType = schema["x-kubernetes-list-type"] as string | undefined;
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  const items = isObject(schema.items) ? schema.items : undefined;
  if (listType !== undefined) {
    if (schema.type !== "array")
      errors.push(wrongType(schema, path, "must be array if x-kubernetes-list-type is specified"));
    if (!["atomic", "set", "map"].includes(listType))
      errors.push(notSupported(`${path}.x-kubernetes-list-type`, listType, ["atomic", "set", "map"]));
  }
  if (keys.length > 0 && listType !== "map") {
    const detail = "must be map if x-kubernetes-list-map-keys is non-empty";
    errors.push(
      listType === undefined
        ? required(`${path}.x-kubernetes-list-type`, detail)
        : invalid(`${path}.x-kubernetes-list-type`, listType, detail),
    );
  }
  if ((listType === "set" || listType === "map") && items?.nullable === true)
    errors.push(
      forbidden(`${path}.items.nullable`, `cannot be nullable when x-kubernetes-list-type is ${listType}`),
    );
  if (listType === "set" && items !== undefined) {
    const detail = "as item of a list with x-kubernetes-list-type=set";
    if (items.type === "object" && items["x-kubernetes-map-type"] !== "atomic")
      errors.push(
        invalid(
          `${path}.items.x-kubernetes-map-type`,
          items["x-kubernetes-map-type"],
          `must be atomic ${detail}`,
        ),
      );
    if (items.type === "array" && (items["x-kubernetes-list-type"] ?? "atomic") !== "atomic")
      errors.push(
        invalid(
          `${path}.items.x-kubernetes-list-type`,
          items["x-kubernetes-list-type"],
          `must be atomic ${detail}`,
        ),
      );
  }
  if (listType === "map") checkMapList(schema, items, keys, path, errors);
}

function checkMapList(
  schema: Schema,
  items: Schema | undefined,
  keys: readonly string[],
  path: string,
  errors: FieldError[],
): void {
  const keysPath = `${path}.x-kubernetes-list-map-keys`;
  if (keys.length === 0)
    errors.push(required(keysPath, "must not be empty if x-kubernetes-list-type is map"));
  if (schema.type !== "array") return;
  if (items === undefined) {
    errors.push(required(`${path}.items`, "must have a schema if x-kubernetes-list-type is map"));
    return;
  }
  if (items.type !== "object")
    errors.push(
      invalid(
        `${path}.items.type`,
        items.type,
        "must be object if parent array's x-kubernetes-list-type is map",
      ),
    );
  const list = { goSyntax: `[]string{${keys.map((each) => JSON.stringify(each)).join(", ")}}` };
  for (const key of keys) {
    const property = items.properties?.[key];
    if (property === undefined) {
      errors.push(invalid(keysPath, list, "entries must all be names of item properties"));
      continue;
    }
    if (property.type === "array" || property.type === "object")
      errors.push(
        invalid(
          `${path}.items.properties[${key}].type`,
          property.type,
          "must be a scalar type if parent array's x-kubernetes-list-type is map",
        ),
      );
    if (property.default === undefined && items.required?.includes(key) !== true)
      errors.push(
        required(
          `${path}.items.properties[${key}].default`,
          "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ),
      );
    if (property.nullable === true)
      errors.push(
        forbidden(
          `${path}.items.properties[${key}].nullable`,
          "this property is in x-kubernetes-list-map-keys, so it cannot be nullable",
        ),
      );
  }
  if (new Set(keys).size !== keys.length)
    errors.push(invalid(keysPath, list, "must not contain duplicate entries"));
}

const types = ["array", "boolean", "integer", "number", "object", "string"];

type Place = "root" | "field" | "item" | "values";

const emptyType: Readonly<Record<Place, string>> = {
  root: "must not be empty at the root",
  field: "must not be empty for specified object fields",
  item: "must not be empty for specified array items",
  values: "must not be empty for specified object fields",
};

function checkStructural(schema: Schema, path: string, place: Place, errors: FieldError[]): void {
  const preserves = schema["x-kubernetes-preserve-unknown-fields"] === true;
  const embedded = schema["x-kubernetes-embedded-resource"] === true;
  const intOrString = schema["x-kubernetes-int-or-string"] === true;
  if (embedded && !preserves && Object.keys(schema.properties ?? {}).length === 0)
    errors.push(
      required(
        `${path}.properties`,
        "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
      ),
    );
  if (schema.type === undefined) {
    if (!intOrString && !preserves) errors.push(required(`${path}.type`, emptyType[place]));
  } else if (place === "root" && schema.type !== "object")
    errors.push(invalid(`${path}.type`, schema.type, "must be object at the root"));
  else if (embedded && schema.type !== "object")
    errors.push(
      invalid(`${path}.type`, schema.type, "must be object if x-kubernetes-embedded-resource is true"),
    );
  if (schema.type !== undefined && !types.includes(schema.type))
    errors.push(notSupported(`${path}.type`, schema.type, types));
  if (schema.type === "array" && schema.items === undefined)
    errors.push(required(`${path}.items`, "must be specified"));
  if (place === "root" || embedded) checkMetadata(schema, path, errors);
  for (const [name, property] of Object.entries(schema.properties ?? {}))
    checkStructural(property, `${path}.properties[${name}]`, "field", errors);
  if (isObject(schema.items)) checkStructural(schema.items, `${path}.items`, "item", errors);
  if (isObject(schema.additionalProperties))
    checkStructural(schema.additionalProperties, `${path}.additionalProperties`, "values", errors);
  forEachComposition(schema, path, (each, at) => checkValueValidation(each, at, intOrString, errors));
}

function checkMetadata(schema: Schema, path: string, errors: FieldError[]): void {
  const metadata = schema.properties?.["metadata"];
  if (metadata === undefined) return;
  const allowed = ["name", "generateName"];
  const others = Object.keys(metadata).filter((key) => !["type", "properties", "description"].includes(key));
  const isPlain =
    others.length === 0 &&
    (metadata.type ?? "object") === "object" &&
    Object.keys(metadata.properties ?? {}).every((key) => allowed.includes(key));
  if (!isPlain)
    errors.push(
      forbidden(
        `${path}.properties[metadata]`,
        "must not specify anything other than name and generateName, but metadata is implicitly specified",
      ),
    );
}

/** Inside of anyOf and the like only values may be judged: what a field is stands outside. */
function checkValueValidation(
  schema: Schema,
  path: string,
  isIntOrString: boolean,
  errors: FieldError[],
): void {
  const raw = schema as Record<string, unknown>;
  for (const keyword of ["description", "title", "id"])
    if (raw[keyword] !== undefined && raw[keyword] !== "")
      errors.push(forbidden(`${path}.${keyword}`, "must be empty to be structural"));
  // The known pattern that says again what x-kubernetes-int-or-string means.
  if (schema.type !== undefined && !(isIntOrString && ["integer", "string"].includes(schema.type)))
    errors.push(forbidden(`${path}.type`, "must be empty to be structural"));
  for (const keyword of ["default", "additionalProperties"])
    if (raw[keyword] !== undefined)
      errors.push(forbidden(`${path}.${keyword}`, "must be undefined to be structural"));
  for (const keyword of ["nullable", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"])
    if (raw[keyword] === true) errors.push(forbidden(`${path}.${keyword}`, "must be false to be structural"));
  for (const [name, property] of Object.entries(schema.properties ?? {}))
    checkValueValidation(property, `${path}.properties[${name}]`, false, errors);
  if (isObject(schema.items)) checkValueValidation(schema.items, `${path}.items`, false, errors);
  forEachComposition(schema, path, (each, at) => checkValueValidation(each, at, isIntOrString, errors));
}

function forEachComposition(
  schema: Schema,
  path: string,
  visit: (schema: Schema, path: string) => void,
): void {
  for (const keyword of ["allOf", "anyOf", "oneOf"] as const)
    for (const [index, each] of (schema[keyword] ?? []).entries())
      visit(each, `${path}.${keyword}[${index}]`);
  if (schema.not !== undefined) visit(schema.not, `${path}.not`);
}

function checkDefaults(schema: Schema, path: string, errors: FieldError[]): void {
  if (schema.default !== undefined) checkDefault(schema, `${path}.default`, errors);
  for (const [name, property] of Object.entries(schema.properties ?? {}))
    checkDefaults(property, `${path}.properties[${name}]`, errors);
  if (isObject(schema.items)) checkDefaults(schema.items, `${path}.items`, errors);
  if (isObject(schema.additionalProperties))
    checkDefaults(schema.additionalProperties, `${path}.additionalProperties`, errors);
}

function checkDefault(schema: Schema, path: string, errors: FieldError[]): void {
  const value = cloneJson(schema.default);
  if (isObject(value) && decodeCustom(value, schema).unknownFields.length > 0) {
    errors.push(invalid(path, goValue(value), "must not have unknown fields"));
    return;
  }
  applySchemaDefaults(value, schema);
  const found = validateValue(value, schema);
  if (found.length === 0) found.push(...new RuleSet(schema).validate(value, undefined));
  for (const error of found) {
    const isWhole = error.field === "" || error.field === "<nil>";
    errors.push({ ...error, field: isWhole ? path : `${path}.${error.field}` });
  }
}
