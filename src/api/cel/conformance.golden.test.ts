/** The language's own conformance cases: how many of those with plain results pass. The numbers may only grow. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { compileExpression } from "./environment.ts";
import { sameValue } from "./library-lists.ts";

const folder = new URL("../../../../shared/golden/cel/", import.meta.url).pathname;

type Message = Map<string, (string | number | boolean | Message)[]>;

/** Cases that pass, at least. */
const ratchet = 978;

test(
  "conformance cases with plain results",
  {
    skip: existsSync(folder) ? false : "the golden data is not here",
  },
  () => {
    let passed = 0;
    let failed = 0;
    for (const file of readdirSync(folder)) {
      for (const section of parseTextProto(readFileSync(folder + file, "utf8")).get("section") ?? [])
        for (const each of (section as Message).get("test") ?? []) {
          const outcome = run(each as Message);
          if (outcome === true) passed++;
          else if (outcome === false) failed++;
        }
    }
    assert.ok(passed >= ratchet, `${passed} passed, ${failed} failed; at least ${ratchet} have to pass`);
  },
);

/** Undefined: a case that needs types or bindings that this harness does not make. */
function run(each: Message): boolean | undefined {
  if (["bindings", "type_env", "container", "disable_check"].some((key) => each.has(key))) return undefined;
  const expression = each.get("expr")?.[0];
  if (typeof expression !== "string") return undefined;
  const value = each.get("value")?.[0];
  const expected = value instanceof Map ? plainValue(value) : { value: true };
  const fails = each.has("eval_error");
  if (expected === undefined && !fails) return undefined;
  try {
    const result = compileExpression(expression, []).evaluate({});
    return !fails && sameValue(result, expected?.value);
  } catch {
    return fails;
  }
}

function plainValue(value: Message): { value: unknown } | undefined {
  for (const key of ["bool_value", "string_value", "double_value"] as const)
    if (value.has(key)) return { value: value.get(key)?.[0] };
  if (value.has("int64_value")) return { value: BigInt(value.get("int64_value")?.[0] as string) };
  return value.has("null_value") ? { value: null } : undefined;
}

function parseTextProto(text: string): Message {
  const tokens =
    text.match(/#[^\n]*|"(?:[^"\\]|\\[^])*"|'(?:[^'\\]|\\[^])*'|[{}[\]<>:,;]|[^\s{}[\]<>:,;"'#]+/g) ?? [];
  const stream = tokens.filter((token) => !token.startsWith("#"));
  let at = 0;
  const message = (): Message => {
    const result: Message = new Map();
    while (at < stream.length && stream[at] !== "}") {
      let name = stream[at++] ?? "";
      if (name === "," || name === ";") continue;
      if (name === "[") {
        name = "";
        while (stream[at] !== "]") name += stream[at++] ?? "";
        at++;
      }
      if (stream[at] === ":") at++;
      const values = result.get(name) ?? [];
      result.set(name, values);
      if (stream[at] === "[") {
        at++;
        while (stream[at] !== "]")
          if (stream[at] === ",") at++;
          else values.push(one());
        at++;
      } else values.push(one());
    }
    return result;
  };
  const one = (): string | number | boolean | Message => {
    const token = stream[at++] ?? "";
    if (token === "{") {
      const inner = message();
      at++;
      return inner;
    }
    if (/^["']/.test(token)) {
      let joined = unquote(token);
      while (/^["']/.test(stream[at] ?? "")) joined += unquote(stream[at++] ?? "");
      return joined;
    }
    if (token === "true" || token === "false") return token === "true";
    return /^-?\d+$/.test(token) ? token : Number.isNaN(Number(token)) ? token : Number(token);
  };
  return message();
}

/** C escapes; octal and hexadecimal ones are bytes of UTF-8. */
function unquote(token: string): string {
  const simple: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, a: 7, b: 8, f: 12, v: 11 };
  const bytes: number[] = [];
  const body = token.slice(1, -1);
  for (const match of body.matchAll(
    /\\([0-7]{1,3})|\\x([0-9a-fA-F]{1,2})|\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})|\\([^])|([^\\]+)/gu,
  )) {
    const [, octal, hex, short, long, escaped, plain] = match;
    if (octal !== undefined) bytes.push(Number.parseInt(octal, 8));
    else if (hex !== undefined) bytes.push(Number.parseInt(hex, 16));
    else if (short !== undefined || long !== undefined)
      bytes.push(...Buffer.from(String.fromCodePoint(Number.parseInt(short ?? long ?? "0", 16))));
    else if (escaped !== undefined)
      bytes.push(...(escaped in simple ? [simple[escaped] ?? 0] : Buffer.from(escaped)));
    else bytes.push(...Buffer.from(plain ?? ""));
  }
  return Buffer.from(bytes).toString("utf8");
}
