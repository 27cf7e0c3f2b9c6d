/** Test support: schemas and scenarios of the recorded API server, where they are present beside the project. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Schema } from "#kinds/schema.ts";
import type { JsonObject } from "#api/patch/json.ts";
import type { SchemaLookup } from "./schema-tree.ts";

const golden = new URL("../../../../shared/golden/", import.meta.url).pathname;

/** A reason to skip, or false. */
export const goldenAbsent: string | false = existsSync(golden) ? false : "the golden data is not here";

export interface GoldenStep {
  name: string;
  request: {
    method: string;
    path: string;
    query?: Record<string, string>;
    headers?: Record<string, string | null>;
    body?: unknown;
    rawBody?: string;
  };
  response: { status: number; headers?: JsonObject; body?: JsonObject };
}

export interface GoldenScenario {
  name: string;
  objects?: Record<string, JsonObject>;
  steps: GoldenStep[];
}

let schemas: Map<string, Schema> | undefined;

export const goldenLookup: SchemaLookup = (name) => {
  schemas ??= readSchemas();
  return schemas.get(name);
};

/** Schema of a kind by its group, version and kind. */
export function goldenSchemaOf(apiVersion: string, kind: string): Schema | undefined {
  schemas ??= readSchemas();
  const [group, version] = apiVersion.includes("/") ? apiVersion.split("/") : ["", apiVersion];
  for (const schema of schemas.values()) {
    const kinds = schema["x-kubernetes-group-version-kind"];
    if (kinds?.some((each) => each.group === group && each.version === version && each.kind === kind))
      return schema;
  }
  return undefined;
}

export function goldenScenarios(folder: string): { file: string; scenario: GoldenScenario }[] {
  const root = join(golden, "api/corpus", folder);
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".json"))
    .sort()
    .map((file) => ({
      file: `${folder}/${file}`,
      scenario: JSON.parse(readFileSync(join(root, file), "utf8")) as GoldenScenario,
    }));
}

function readSchemas(): Map<string, Schema> {
  const result = new Map<string, Schema>();
  const folder = join(golden, "facts/openapi-v3");
  for (const file of readdirSync(folder)) {
    const document = JSON.parse(readFileSync(join(folder, file), "utf8")) as {
      components?: { schemas?: Record<string, Schema> };
    };
    for (const [name, schema] of Object.entries(document.components?.schemas ?? {})) result.set(name, schema);
  }
  return result;
}

/** The body of a step, with the scenario's base objects and changes filled in. */
export function goldenBody(scenario: GoldenScenario, step: GoldenStep): unknown {
  const { body, rawBody } = step.request;
  if (rawBody !== undefined) return JSON.parse(rawBody);
  const template = body as { $base?: string; $set?: JsonObject; $remove?: string[] } | undefined;
  if (template?.$base === undefined) return body;
  const object = structuredClone(scenario.objects?.[template.$base] ?? {});
  for (const [path, value] of Object.entries(template.$set ?? {})) setPath(object, path, value);
  for (const path of template.$remove ?? []) setPath(object, path, undefined);
  return object;
}

function setPath(object: JsonObject, path: string, value: unknown): void {
  const keys = path.match(/\["[^"]*"\]|\[\d+\]|[^.[\]]+/g) ?? [];
  let at: unknown = object;
  for (const [index, raw] of keys.entries()) {
    const key = raw.startsWith("[") ? String(JSON.parse(raw.slice(1, -1))) : raw;
    const container = at as JsonObject;
    if (index === keys.length - 1) {
      if (value === undefined) delete container[key];
      else container[key] = value;
    } else at = container[key] ??= {};
  }
}
