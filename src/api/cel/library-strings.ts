/** Strings beyond what the language library has: charAt, replace, format, and regular expressions. */
import type { Environment } from "@marcbachmann/cel-js";
import { goFormat } from "#api/patch/go-format.ts";

export function registerStrings(environment: Environment): void {
  environment
    .registerFunction("string.charAt(int): string", (text: string, index: bigint) => {
      const characters = Array.from(text);
      if (index < 0n || index > characters.length) throw new Error(`index out of range: ${index}`);
      return characters[Number(index)] ?? "";
    })
    .registerFunction("string.replace(string, string): string", (text: string, from: string, to: string) =>
      text.replaceAll(from, () => to),
    )
    .registerFunction(
      "string.replace(string, string, int): string",
      (text: string, from: string, to: string, times: bigint) => replaceTimes(text, from, to, Number(times)),
    )
    .registerOperator("bytes < bytes", (left: Uint8Array, right: Uint8Array) => compare(left, right) < 0)
    .registerOperator("bytes <= bytes", (left: Uint8Array, right: Uint8Array) => compare(left, right) <= 0)
    .registerOperator("bytes > bytes", (left: Uint8Array, right: Uint8Array) => compare(left, right) > 0)
    .registerOperator("bytes >= bytes", (left: Uint8Array, right: Uint8Array) => compare(left, right) >= 0)
    .registerFunction("string.reverse(): string", (text: string) => Array.from(text).reverse().join(""))
    .registerFunction("string.find(string): string", (text: string, pattern: string) => {
      return new RegExp(pattern).exec(text)?.[0] ?? "";
    })
    .registerFunction("string.findAll(string): list<string>", (text: string, pattern: string) =>
      findAll(text, pattern, -1),
    )
    .registerFunction(
      "string.findAll(string, int): list<string>",
      (text: string, pattern: string, limit: bigint) => findAll(text, pattern, Number(limit)),
    )
    .registerFunction("string.format(list<dyn>): string", (template: string, values: unknown[]) =>
      formatText(template, values),
    );
}

function compare(left: Uint8Array, right: Uint8Array): number {
  return Buffer.compare(left, right);
}

function replaceTimes(text: string, from: string, to: string, times: number): string {
  if (times < 0) return text.replaceAll(from, () => to);
  let result = text;
  let start = 0;
  for (let count = 0; count < times; count++) {
    const at = result.indexOf(from, start);
    if (at < 0) break;
    result = result.slice(0, at) + to + result.slice(at + from.length);
    start = at + to.length;
  }
  return result;
}

function findAll(text: string, pattern: string, limit: number): string[] {
  const found = [...text.matchAll(new RegExp(pattern, "g"))].map((match) => match[0]);
  return limit < 0 ? found : found.slice(0, limit);
}

/** %s %d %f %e %b %x %X %o with an optional precision. */
function formatText(template: string, values: readonly unknown[]): string {
  let next = 0;
  return template.replaceAll(
    /%(?:\.(\d+))?([sdfebxXo%])/g,
    (_all, precision: string | undefined, verb: string) => {
      if (verb === "%") return "%";
      if (next >= values.length) throw new Error(`index ${next} out of range`);
      return formatValue(verb, precision === undefined ? 6 : Number(precision), values[next++]);
    },
  );
}

function formatValue(verb: string, precision: number, value: unknown): string {
  switch (verb) {
    case "f":
      return Number(value).toFixed(precision);
    case "e":
      return Number(value).toExponential(precision);
    case "b":
      return typeof value === "boolean" ? (value ? "1" : "0") : BigInt(value as bigint).toString(2);
    case "o":
      return BigInt(value as bigint).toString(8);
    case "x":
    case "X": {
      const text =
        typeof value === "string" ? Buffer.from(value).toString("hex") : BigInt(value as bigint).toString(16);
      return verb === "X" ? text.toUpperCase() : text;
    }
    default:
      return plain(value);
  }
}

function plain(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "bigint" || typeof value === "number" || typeof value === "boolean")
    return String(value);
  if (value === null) return "null";
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return `[${value.map(plain).join(", ")}]`;
  return goFormat(value);
}
