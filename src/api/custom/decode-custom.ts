/**
 * Decoding of custom resources: fields that the schema does not know are dropped (and named, for field
 * validation), metadata is decoded as upstream's ObjectMeta; and the defaulting of the schema.
 */
import { setMember } from "#base/member.ts";
import { decode } from "#kinds/decode.ts";
import type { Decoded } from "#kinds/decode.ts";
import type { Schema } from "#kinds/schema.ts";
import { cloneJson, isObject, own } from "#api/patch/json.ts";
import type { JsonObject } from "#api/patch/json.ts";
import { goSyntax } from "./go-value.ts";
import { isEmbedded } from "./structural.ts";

const objectMetaName = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/** Decodes by a structural schema. The input is not changed. */
export function decodeCustom(value: Record<string, unknown>, schema: Schema): Decoded {
  const pruner = new Pruner();
  const object = pruner.object(value, schema, "", true);
  return { object, unknownFields: pruner.unknownFields.sort(), errors: pruner.errors };
}

class Pruner {
  readonly unknownFields: string[] = [];
  readonly errors: string[] = [];

  object(value: JsonObject, schema: Schema, path: string, isWhole: boolean): JsonObject {
    const result: JsonObject = {};
    const keepsUnknown =
      schema["x-kubernetes-preserve-unknown-fields"] === true || schema.additionalProperties === true;
    for (const key of Object.keys(value)) {
      const member = value[key];
      const memberPath = path === "" ? key : `${path}.${key}`;
      if (isWhole && (key === "apiVersion" || key === "kind")) result[key] = member;
      else if (isWhole && key === "metadata") {
        const metadata = this.#metadata(member, path, memberPath);
        if (metadata !== undefined) result[key] = metadata;
      } else {
        const known =
          own(schema.properties, key) ??
          (typeof schema.additionalProperties === "object" ? schema.additionalProperties : undefined);
        if (known !== undefined) setMember(result, key, this.#value(member, known, memberPath));
        else if (keepsUnknown) setMember(result, key, cloneJson(member));
        else this.unknownFields.push(memberPath);
      }
    }
    return result;
  }

  #value(value: unknown, schema: Schema, path: string): unknown {
    if (isObject(value)) return this.object(value, schema, path, isEmbedded(schema));
    if (Array.isArray(value)) {
      const { items } = schema;
      if (items === undefined) return cloneJson(value);
      return value.map((each, index) => this.#value(each, items, `${path}[${index}]`));
    }
    return value;
  }

  #metadata(value: unknown, ownerPath: string, path: string): unknown {
    if (value === null || value === undefined) return ownerPath === "" ? {} : undefined;
    const decoded = decode(objectMetaName, value);
    const [error] = decoded.errors;
    if (error !== undefined)
      this.errors.push(ownerPath === "" ? error : `${path}: Invalid value: ${goSyntax(value)}: ${error}`);
    this.unknownFields.push(...decoded.unknownFields.map((each) => `${path}.${each}`));
    if (decoded.object["creationTimestamp"] === null) delete decoded.object["creationTimestamp"];
    return decoded.object;
  }
}

/**
 * Fills in the schema's defaults, in place. A null that the schema does not allow counts as absent, and
 * goes where there is no default for it.
 */
export function applySchemaDefaults(value: unknown, schema: Schema): void {
  if (Array.isArray(value)) {
    if (schema.items !== undefined) for (const each of value) applySchemaDefaults(each, schema.items);
    return;
  }
  if (!isObject(value)) return;
  const { properties, additionalProperties } = schema;
  for (const key of Object.keys(properties ?? {})) {
    const property = properties?.[key];
    if (property?.default === undefined) continue;
    const given = own(value, key);
    if (given === undefined || (given === null && property.nullable !== true))
      setMember(value, key, cloneJson(property.default));
  }
  for (const key of Object.keys(value)) {
    const known =
      own(properties, key) ?? (typeof additionalProperties === "object" ? additionalProperties : undefined);
    if (known === undefined || known.$ref !== undefined) continue;
    if (value[key] === null && known.nullable !== true && acceptsNoNull(known)) delete value[key];
    else applySchemaDefaults(value[key], known);
  }
}

/** A schema without a type that preserves what is unknown takes a null as it is. */
function acceptsNoNull(schema: Schema): boolean {
  return schema.type !== undefined || schema["x-kubernetes-preserve-unknown-fields"] !== true;
}
