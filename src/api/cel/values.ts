/**
 * JSON values as CEL sees them: integers are 64-bit, times and bytes have types of their own, and fields
 * whose names are not CEL identifiers go by escaped names (k8s.io/apiserver, pkg/cel/escaping).
 */
import { Environment } from "@marcbachmann/cel-js";
import { setMember } from "#base/member.ts";
import type { Schema } from "#kinds/schema.ts";
import { isObject, own } from "#api/patch/json.ts";

/** With a schema, values follow its types; without, each number is what it looks like. */
export function toCel(value: unknown, schema?: Schema): unknown {
  if (typeof value === "number") return celNumber(value, schema);
  if (typeof value === "string") return celString(value, schema);
  if (Array.isArray(value)) return value.map((each) => toCel(each, schema?.items));
  if (!isObject(value)) return value;
  const result: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const property = own(schema?.properties, key);
    if (property !== undefined) {
      const name = escapeName(key);
      if (name !== undefined) result[name] = toCel(value[key], property);
    } else
      setMember(
        result,
        key,
        toCel(
          value[key],
          typeof schema?.additionalProperties === "object" ? schema.additionalProperties : undefined,
        ),
      );
  }
  return result;
}

function celNumber(value: number, schema: Schema | undefined): unknown {
  if (schema?.type === "number") return value;
  return Number.isInteger(value) ? BigInt(value) : value;
}

function celString(value: string, schema: Schema | undefined): unknown {
  if (schema?.type !== "string") return value;
  if (schema.format === "date-time" || schema.format === "date") {
    const time = new Date(value);
    return Number.isNaN(time.getTime()) ? value : time;
  }
  if (schema.format === "duration") return celDuration(value);
  return schema.format === "byte" ? new Uint8Array(Buffer.from(value, "base64")) : value;
}

const durations = new Environment().registerVariable("text", "string").parse("duration(text)");

/** Days and weeks, which schemas allow and the language does not know, stay text. */
function celDuration(text: string): unknown {
  try {
    return durations({ text });
  } catch {
    return text;
  }
}

const reserved = new Set([
  "true",
  "false",
  "null",
  "in",
  "as",
  "break",
  "const",
  "continue",
  "else",
  "for",
  "function",
  "if",
  "import",
  "let",
  "loop",
  "package",
  "namespace",
  "return",
]);

/** Undefined where a name can't be written in CEL at all. */
export function escapeName(name: string): string | undefined {
  if (reserved.has(name)) return `__${name}__`;
  if (!/^[A-Za-z_]/.test(name)) return undefined;
  const escaped = name
    .replaceAll("__", "__underscores__")
    .replaceAll(".", "__dot__")
    .replaceAll("-", "__dash__")
    .replaceAll("/", "__slash__");
  return /^[A-Za-z0-9_]+$/.test(escaped) ? escaped : undefined;
}
