/**
 * YAML bodies in and out. Only the first document of a stream is read, keys become strings and scalars
 * follow YAML 1.1, as the library that upstream uses does it. Output has sorted keys.
 */
import { isWithoutRepeats } from "#kinds/json-document.ts";
import { describeYamlError } from "./yaml-error.ts";
import { isAlias, isPair, isScalar, parseAllDocuments, visit } from "yaml";
import type { Document, Node } from "yaml";

/** Throws an Error whose message starts with "yaml: " when the text is no YAML. */
export function parseYaml(text: string): { value: unknown; duplicates: string[] } {
  const plain = plainJson(text);
  if (plain !== undefined) return { value: plain, duplicates: [] };
  const documents = parseAllDocuments(text, {
    version: "1.1",
    merge: true,
    uniqueKeys: false,
    schema: "yaml-1.1",
    customTags: (tags) =>
      tags.filter((tag) => typeof tag === "string" || tag.tag !== "tag:yaml.org,2002:timestamp"),
  });
  const document = Array.isArray(documents) ? documents[0] : undefined;
  if (document === undefined) return { value: {}, duplicates: [] };
  const problem = document.errors[0];
  if (problem !== undefined) {
    throw new Error(`yaml: ${describeYamlError(problem, text)}`);
  }
  checkAliases(document);
  const value: unknown = document.toJS({ maxAliasCount: 1000 });
  return { value: toJsonValue(value), duplicates: duplicatesOf(document, text) };
}

/**
 * The object of a text that is JSON as clients write it, without spaces, escapes and repeated keys: it means
 * the same as YAML, and most of what is called YAML is that. Large definitions take a tenth of the time.
 */
function plainJson(text: string): unknown {
  if (!text.startsWith("{")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isWithoutRepeats(text, value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function checkAliases(document: Document): void {
  const anchors = new Set<string>();
  visit(document, {
    Node(_key, node) {
      if (isAlias(node)) {
        if (!anchors.has(node.source)) throw new Error(`yaml: unknown anchor '${node.source}' referenced`);
      } else if ((node as Node & { anchor?: string }).anchor !== undefined) {
        anchors.add((node as Node & { anchor?: string }).anchor ?? "");
      }
    },
  });
}

/** Dates stay as text, binary becomes text, keys become strings. */
function toJsonValue(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("latin1");
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(toJsonValue);
  if (typeof value === "object" && value !== null) {
    const entries = value instanceof Map ? [...value.entries()] : Object.entries(value);
    return Object.fromEntries(entries.map(([key, each]) => [String(key), toJsonValue(each)]));
  }
  return value;
}

function duplicatesOf(document: Document, text: string): string[] {
  const lines: string[] = [];
  visit(document, {
    Map(_key, map) {
      const seen = new Set<string>();
      for (const item of map.items) {
        if (!isPair(item) || !isScalar(item.key)) continue;
        const key = String(item.key.value);
        if (seen.has(key)) {
          const offset = item.key.range?.[0] ?? 0;
          const line = text.slice(0, offset).split("\n").length;
          const shown = typeof item.key.value === "string" ? JSON.stringify(key) : key;
          lines.push(`  line ${line}: key ${shown} already set in map`);
        }
        seen.add(key);
      }
    },
  });
  return lines.length === 0 ? [] : [`yaml: unmarshal errors:\n${lines.join("\n")}`];
}

/** YAML text with sorted keys, in the layout of upstream's library. */
export function toYaml(value: unknown): string {
  const lines: string[] = [];
  emit(value, 0, lines, "");
  return `${lines.join("\n")}\n`;
}

/** Appends the lines of a value; `lead` is what stands before it on its first line. */
function emit(value: unknown, indent: number, lines: string[], lead: string): void {
  const pad = " ".repeat(indent);
  if (Array.isArray(value)) {
    if (value.length === 0) {
      lines.push(`${lead}${lead === "" ? "" : " "}[]`);
      return;
    }
    if (lead !== "") lines.push(lead);
    for (const each of value) emitItem(each, indent, lines, `${pad}-`);
    return;
  }
  if (typeof value === "object" && value !== null) {
    const keys = Object.keys(value)
      .filter((key) => (value as Record<string, unknown>)[key] !== undefined)
      .sort(naturalOrder);
    if (keys.length === 0) {
      lines.push(`${lead}${lead === "" ? "" : " "}{}`);
      return;
    }
    if (lead !== "") lines.push(lead);
    for (const key of keys) emitPair(key, (value as Record<string, unknown>)[key], indent, lines, pad);
    return;
  }
  lines.push(...scalarLines(value, indent, lead));
}

function emitPair(key: string, value: unknown, indent: number, lines: string[], head: string): void {
  const lead = `${head}${scalarText(key)}:`;
  const isList = Array.isArray(value);
  if (typeof value === "object" && value !== null) emit(value, isList ? indent : indent + 2, lines, lead);
  else lines.push(...scalarLines(value, indent + 2, lead));
}

/** A list's item: its first line shares the line of the dash. */
function emitItem(value: unknown, indent: number, lines: string[], dash: string): void {
  const inner: string[] = [];
  if (typeof value === "object" && value !== null && Object.keys(value).length > 0) {
    emit(value, indent + 2, inner, "");
    const first = inner[0] ?? "";
    lines.push(`${dash} ${first.slice(indent + 2)}`, ...inner.slice(1));
    return;
  }
  if (typeof value === "object" && value !== null)
    lines.push(`${dash} ${Array.isArray(value) ? "[]" : "{}"}`);
  else lines.push(...scalarLines(value, indent + 2, dash));
}

function scalarLines(value: unknown, indent: number, lead: string): string[] {
  const space = lead === "" ? "" : " ";
  if (typeof value === "string" && value.includes("\n")) return blockLines(value, indent, lead);
  if (typeof value === "string") return foldLines(scalarText(value), indent, `${lead}${space}`, value);
  return [`${lead}${space}${value === null ? "null" : String(value as number | boolean)}`];
}

function blockLines(value: string, indent: number, lead: string): string[] {
  const isPrintable =
    !/[^\t\n\u0020-\u007e\u00a0-\ud7ff\ue000-\ufffd]/.test(value) && !/^\s|[ \t]\n|[ \t]$/.test(value);
  if (!isPrintable) return [`${lead} ${doubleQuoted(value)}`];
  const chomp = value.endsWith("\n\n") ? "+" : value.endsWith("\n") ? "" : "-";
  const body = value.endsWith("\n") ? value.slice(0, -1) : value;
  const pad = " ".repeat(indent);
  return [`${lead} |${chomp}`, ...body.split("\n").map((line) => (line === "" ? "" : pad + line))];
}

const widthColumns = 80;

/** Long plain and single-quoted scalars are folded at blanks, as libyaml does. */
function foldLines(text: string, indent: number, lead: string, value: string): string[] {
  if (lead.length + text.length <= widthColumns || !value.includes(" ")) return [lead + text];
  const pad = " ".repeat(indent);
  const lines: string[] = [];
  let current = lead;
  let column = lead.length;
  let word = "";
  const flush = (): void => {
    current += word;
    column += word.length;
    word = "";
  };
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? "";
    const isSingleBlank =
      char === " " && text[at - 1] !== " " && text[at + 1] !== " " && at > 0 && at < text.length - 1;
    if (!isSingleBlank) {
      word += char;
      continue;
    }
    flush();
    if (column > widthColumns) {
      lines.push(current);
      current = pad;
      column = indent;
    } else {
      current += " ";
      column += 1;
    }
  }
  flush();
  lines.push(current);
  return lines;
}

const ambiguous =
  /^(~|null|Null|NULL|true|True|TRUE|false|False|FALSE|y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF|\.nan|\.NaN|\.NAN|[-+]?\.(inf|Inf|INF)|<<|=)$/;
const numberLike =
  /^[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|(\d[\d_]*)?\.?\d[\d_]*([eE][-+]?\d+)?|\d[\d_]*\.([eE][-+]?\d+)?)$/;
const dateLike = /^\d{4}-\d{1,2}-\d{1,2}([Tt ]|$)/;
const sexagesimal = /^[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?$/;

function scalarText(value: string): string {
  if (value === "") return '""';
  // oxlint-disable-next-line no-control-regex -- YAML's non-printable characters
  if (/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\ud800-\udfff\ufffe\uffff\n]/.test(value))
    return doubleQuoted(value);
  if (ambiguous.test(value) || numberLike.test(value) || dateLike.test(value) || sexagesimal.test(value)) {
    return JSON.stringify(value);
  }
  if (needsQuotes(value)) return `'${value.replaceAll("'", "''")}'`;
  return value;
}

function needsQuotes(value: string): boolean {
  return (
    /^[-?:](\s|$)/.test(value) ||
    /^[,[\]{}#&*!|>'"%@`]/.test(value) ||
    /^(---|\.\.\.)/.test(value) ||
    /:(\s|$)/.test(value) ||
    /\s#/.test(value) ||
    /^\s|\s$/.test(value) ||
    value.includes("\t")
  );
}

function doubleQuoted(value: string): string {
  return JSON.stringify(value).replace(
    /\\u00([0-9a-f]{2})/g,
    (_match, hex: string) => `\\x${hex.toUpperCase()}`,
  );
}

/** Digits in keys compare as numbers, letters after other characters: the order of upstream's library. */
function naturalOrder(left: string, right: string): number {
  const a = left.match(/\d+|\D/g) ?? [];
  const b = right.match(/\d+|\D/g) ?? [];
  for (let index = 0; index < Math.min(a.length, b.length); index++) {
    const x = a[index] ?? "";
    const y = b[index] ?? "";
    if (x === y) continue;
    const bothDigits = /^\d/.test(x) && /^\d/.test(y);
    if (bothDigits && Number(x) !== Number(y)) return Number(x) - Number(y);
    const xLetter = /^\p{L}/u.test(x);
    const yLetter = /^\p{L}/u.test(y);
    if (xLetter !== yLetter) return xLetter ? 1 : -1;
    return x < y ? -1 : 1;
  }
  return a.length - b.length;
}
