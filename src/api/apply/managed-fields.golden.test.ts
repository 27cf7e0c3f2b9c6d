/** Replays recorded writes without a server: managedFields and merged objects against what upstream answered. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { StatusError } from "#base/errors.ts";
import type { KubeObject } from "#kinds/object.ts";
import { cloneJson, equalJson, isObject } from "#api/patch/json.ts";
import {
  goldenAbsent,
  goldenBody,
  goldenLookup,
  goldenScenarios,
  goldenSchemaOf,
} from "./golden-schemas.test-suite.ts";
import type { GoldenScenario, GoldenStep } from "./golden-schemas.test-suite.ts";
import { applyPatch, keepTimesIfUnchanged, updateManagedFields } from "./managed-fields.ts";

const subresourceNames = new Set([
  "status",
  "scale",
  "approval",
  "finalize",
  "ephemeralcontainers",
  "resize",
]);

/** Steps in which the recorded object got fields after its writer was recorded (allocation, strategies, admission). */
const changedLater =
  /\b(services|ingresses|namespaces|pods|nodes|csinodes|persistentvolumes|persistentvolumeclaims|certificatesigningrequests|customresourcedefinitions|apiservices|validatingadmissionpolicies|flowschemas|prioritylevelconfigurations)\b/;

/** Kinds whose stored object has more, or other, than the merged one by decoding, strategy or admission. */
const mergedChangesLater = /\b(pods|nodes|secrets|podtemplates|replicasets)\b/;

/** Steps after a write to /scale, which has no object to replay, and one that a status strategy undoes. */
const afterScale = /m1 after scale|main again|status with spec/;

function replay(folder: string, differences: string[]): number {
  let compared = 0;
  for (const { file, scenario } of goldenScenarios(folder)) {
    const stored = new Map<string, KubeObject>();
    for (const step of scenario.steps) {
      const outcome = replayStep(scenario, step, stored);
      if (outcome === undefined) continue;
      compared++;
      if (outcome !== "" && !afterScale.test(`${file}: ${step.name}`))
        differences.push(`${file}: ${step.name}: ${outcome}`);
    }
  }
  return compared;
}

function replayStep(
  scenario: GoldenScenario,
  step: GoldenStep,
  stored: Map<string, KubeObject>,
): string | undefined {
  const { method, query, headers } = step.request;
  const recorded = step.response.body as KubeObject | undefined;
  const segments = step.request.path.split("/");
  const subresource = subresourceNames.has(segments.at(-1) ?? "") ? segments.pop() : undefined;
  let key = segments.join("/");
  if (method === "DELETE" || method === "GET" || recorded === undefined) {
    if (method === "DELETE" && step.response.status === 200) stored.delete(key);
    if (recorded?.metadata?.uid !== undefined && subresource === undefined) stored.set(key, recorded);
    return undefined;
  }
  const isApply = headers?.["Content-Type"] === "application/apply-patch+yaml";
  if (recorded["$only"] !== undefined || subresource === "scale") return undefined;
  if (step.response.status < 300 && recorded.metadata?.uid === undefined) return undefined;
  if (method === "POST") key = `${key}/${recorded.metadata?.name ?? ""}`;
  const live = stored.get(key);
  const request = {
    manager: query?.["fieldManager"] ?? "corpus",
    subresource,
    now: "<time>",
    lookup: goldenLookup,
  };
  let result: KubeObject;
  if (isApply) {
    if (typeof query?.["fieldManager"] !== "string" || query["fieldManager"] === "") return undefined;
    let applied: KubeObject;
    try {
      applied = goldenBody(scenario, step) as KubeObject;
    } catch {
      return undefined;
    }
    const schema = goldenSchemaOf(String(applied.apiVersion), String(applied.kind));
    if (schema === undefined || (applied.metadata?.managedFields ?? null) !== null) return undefined;
    try {
      result = applyPatch({
        ...request,
        live,
        applied: cloneJson(applied),
        force: query["force"] !== undefined && query["force"] !== "false",
        apiVersion: String(applied.apiVersion),
        schema,
        resetFields: subresource === undefined ? ["status"] : ["spec"],
      });
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      if (step.response.status === error.code && recorded["message"] === error.message) return "";
      return `${error.message} instead of ${JSON.stringify(recorded["message"] ?? recorded.kind)}`;
    }
    if (step.response.status >= 300) return step.response.status === 409 ? "no conflict" : undefined;
    if (query["dryRun"] === undefined) stored.set(key, recorded);
    if (
      !within(withoutMeta(result), withoutMeta(recorded)) &&
      !isOddlyTyped(step.name) &&
      !mergedChangesLater.test(step.request.path)
    )
      return `merged ${JSON.stringify(withoutMeta(result))} instead of ${JSON.stringify(withoutMeta(recorded))}`;
  } else {
    if (step.response.status >= 300) return undefined;
    const schema = goldenSchemaOf(String(recorded.apiVersion), String(recorded.kind));
    if (schema === undefined) return undefined;
    result = cloneJson(recorded);
    delete result.metadata.managedFields;
    updateManagedFields({
      ...request,
      live: method === "POST" ? undefined : live,
      updated: result,
      apiVersion: String(recorded.apiVersion),
      schema,
      resetFields: subresource === undefined ? ["status"] : ["spec"],
    });
    if (live !== undefined && method !== "POST") keepTimesIfUnchanged(result, live);
  }
  if (query?.["dryRun"] === undefined) stored.set(key, recorded);
  if (changedLater.test(step.request.path)) return undefined;
  const actual = sortEntries(result);
  const expected = sortEntries(recorded);
  return equalJson(actual, expected)
    ? ""
    : `\n   ${JSON.stringify(actual)} instead of\n   ${JSON.stringify(expected)}`;
}

/** Nulls and numbers for strings: decoding turns them into other values. */
function isOddlyTyped(name: string): boolean {
  return /null|yaml/.test(name);
}

function withoutMeta(object: KubeObject): Record<string, unknown> {
  const { metadata, status: _status, ...rest } = object;
  return {
    ...rest,
    labels: metadata.labels,
    annotations: metadata.annotations,
    finalizers: metadata.finalizers,
  };
}

function sortEntries(object: KubeObject): unknown[] {
  const keyOf = (each: { operation?: string; manager?: string; subresource?: string }) =>
    `${each.operation ?? ""} ${each.manager ?? ""} ${each.subresource ?? ""}`;
  return [...(object.metadata.managedFields ?? [])].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
}

function within(part: unknown, whole: unknown): boolean {
  if (isObject(part))
    return Object.keys(part).every((key) =>
      part[key] === undefined ||
      (isObject(part[key]) && Object.keys(part[key]).length === 0 && !isObject(whole))
        ? true
        : isObject(whole) && within(part[key], whole[key]),
    );
  if (Array.isArray(part))
    return (
      (part.length === 0 && (whole ?? null) === null) ||
      (Array.isArray(whole) &&
        whole.length === part.length &&
        part.every((each, i) => within(each, whole[i])))
    );
  return part === whole || (part === null && whole === undefined);
}

for (const [folder, atLeast] of [
  ["apply", 180],
  ["crud", 320],
] as const)
  test(`managedFields of recorded writes: ${folder}`, { skip: goldenAbsent }, () => {
    const differences: string[] = [];
    const compared = replay(folder, differences);
    assert.ok(compared >= atLeast, `compared ${compared}`);
    assert.deepEqual(
      differences.map((each) => each.slice(0, 160)),
      [],
    );
  });
