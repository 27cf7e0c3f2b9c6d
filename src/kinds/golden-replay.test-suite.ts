/**
 * Replays recorded conversations (../shared/golden/api) against the kinds alone, without a server: each
 * write is decoded, defaulted, prepared and validated as the API would, and compared with what the real
 * server answered. Each step starts from the recorded state before it, so one difference does not spread.
 * For tests only: it plays the part of the API and knows what admission adds.
 */
import { findKind } from "./all.ts";
import { decode, normalizeObject } from "./decode.ts";
import { copyOf } from "./equality.ts";
import { type FieldError, invalidError } from "./field-error.ts";
import type { AnyKind, StrategyContext } from "./kind.ts";
import { dedupeOwnerReferences, validateMetadata, validateMetadataUpdate } from "./metadata.ts";
import type { KubeObject } from "./object.ts";

type Json = Record<string, unknown>;

export interface Scenario {
  name: string;
  objects?: Record<string, Json>;
  steps: Step[];
}

interface Step {
  name: string;
  request: { method: string; path: string; query?: Record<string, string>; headers?: Json; body?: unknown };
  response: { status: number; headers?: { warning?: string[] }; body?: Json };
  compare?: string;
}

export interface StepResult {
  step: string;
  /** Empty when it is as recorded. */
  differences: string[];
}

const generatedSuffix = "abcde";
const now = "2026-01-01T00:00:00Z";
const context = {
  newUid: () => "00000000-0000-4000-8000-000000000000",
  warn: () => {},
  now,
  user: { name: "kubernetes-admin", groups: ["system:masters", "system:authenticated"] },
};

/** Parses a recorded file, its placeholders for names replaced by names. */
export function parseScenario(text: string): Scenario {
  return JSON.parse(
    text
      .replaceAll("$NS", "ns1")
      .replaceAll("$ID", "id1")
      .replaceAll(/<uid:(\d+)>/g, "uid-$1")
      .replaceAll(/<ip:(\d+)>/g, "10.96.7.$1")
      .replaceAll(/<kube-api-access:\d+>/g, "kube-api-access-abcde")
      .replaceAll(/<gen(:\d+)?>/g, generatedSuffix),
  ) as Scenario;
}

/** The results of the steps that concern kinds (writes of objects and of their status); others are left out. */
export function replay(scenario: Scenario): StepResult[] {
  const stored = new Map<string, KubeObject>();
  const results: StepResult[] = [];
  for (const step of scenario.steps) {
    const target = targetOf(step.request.path);
    const { method } = step.request;
    const dryRun = step.request.query?.["dryRun"] !== undefined;
    if (target !== undefined && step.response !== undefined) {
      const differences = replayStep(scenario, step, target, stored);
      if (differences !== undefined) results.push({ step: step.name, differences });
      const body = step.response.body;
      if (!dryRun && body !== undefined && step.response.status < 300 && body["metadata"] !== undefined) {
        const object = withoutPlaceholders(body) as KubeObject;
        const key = `${target.collection}/${target.name ?? object.metadata.name}`;
        if (method === "DELETE" && object.metadata.deletionTimestamp === undefined) stored.delete(key);
        else if (object.kind === target.kind.kind) stored.set(key, object);
      }
      if (!dryRun && method === "DELETE" && step.response.status === 200 && body?.["kind"] === "Status")
        stored.delete(`${target.collection}/${target.name}`);
    }
  }
  return results;
}

interface Target {
  kind: AnyKind;
  collection: string;
  namespace: string | undefined;
  name: string | undefined;
  subresource: string | undefined;
}

function targetOf(path: string): Target | undefined {
  const parts = path.split("/").slice(1);
  const [group = "", version = ""] = parts[0] === "api" ? ["", parts[1]] : [parts[1], parts[2]];
  const rest = parts.slice(parts[0] === "api" ? 2 : 3);
  let namespace: string | undefined;
  if (rest[0] === "namespaces" && rest.length > 2 && !["status", "finalize"].includes(rest[2] ?? ""))
    [, namespace] = rest.splice(0, 2);
  const kind = findKind(group, version, rest[0] ?? "");
  if (kind === undefined || kind.namespaced !== (namespace !== undefined)) return undefined;
  return {
    kind,
    collection: `${group}/${rest[0]}/${namespace ?? ""}`,
    namespace,
    name: rest[1],
    subresource: rest[2],
  };
}

function replayStep(
  scenario: Scenario,
  step: Step,
  target: Target,
  stored: Map<string, KubeObject>,
): string[] | undefined {
  const { method } = step.request;
  const expected = step.response;
  if (![200, 201, 400, 422].includes(expected.status)) return undefined;
  const expectedMessage = messageOf(expected.body);
  let body: unknown;
  let old: KubeObject | undefined;
  if (method === "POST" && target.name === undefined) body = bodyOf(scenario, step.request.body);
  else if (target.name !== undefined && (method === "PUT" || method === "PATCH")) {
    if (
      target.subresource !== undefined &&
      target.subresource !== "status" &&
      target.subresource !== "ephemeralcontainers"
    )
      return undefined;
    old = stored.get(`${target.collection}/${target.name}`);
    if (old === undefined) return undefined;
    const given = bodyOf(scenario, step.request.body);
    if (method === "PUT") body = given;
    else {
      const type = (step.request.headers?.["Content-Type"] ?? "") as string;
      if (type.includes("json-patch")) body = jsonPatch(old, given);
      else if (type.includes("merge-patch") && !type.includes("strategic")) body = mergePatch(old, given);
      if (body === undefined) return undefined;
    }
  } else return undefined;
  if (typeof body !== "object" || body === null || Array.isArray(body)) return undefined;
  // Answers that come from the API's own checks before the strategy.
  if (isApiAnswer(expected.status, expectedMessage, body as Json, target, step)) return undefined;

  const outcome = run(target, body as Json, old, uidOf(expected.body));
  return compare(step, target, outcome);
}

function isApiAnswer(
  status: number,
  message: string,
  body: Json,
  { kind, name }: Target,
  step: Step,
): boolean {
  if (step.request.query?.["fieldValidation"] !== undefined) return true;
  const metadata = body["metadata"] as KubeObject["metadata"] | undefined;
  if (typeof metadata === "object" && metadata !== null) {
    if (name !== undefined && metadata.name !== name) return true;
    if (metadata.managedFields !== undefined && step.request.method !== "PATCH" && status >= 400) return true;
  }
  if (body["kind"] !== undefined && body["kind"] !== kind.kind) return true;
  return (
    (status === 400 &&
      (message.includes("does not match") ||
        message.includes("no kind") ||
        message.includes("is unrecognized"))) ||
    /(Create|Update|Patch|Delete)Options/.test(message) ||
    message.includes("metadata.resourceVersion") ||
    message.includes("invalid: patch:")
  );
}

function messageOf(body: Json | undefined): string {
  return (body?.["message"] ?? "") as string;
}

function uidOf(body: Json | undefined): string {
  const metadata = body?.["metadata"] as { uid?: string } | undefined;
  return metadata?.uid ?? "uid-1";
}

type Outcome = { errors: FieldError[]; object: KubeObject } | { badRequest: string };

function run(target: Target, body: Json, old: KubeObject | undefined, uid: string): Outcome {
  const { kind, namespace } = target;
  const decoded = decode(kind.schemaName, body);
  if (decoded.errors[0] !== undefined)
    return {
      badRequest: `${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: ${decoded.errors[0]}`,
    };
  const object = decoded.object as unknown as KubeObject;
  object.metadata ??= {};
  object.apiVersion = kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
  object.kind = kind.kind;
  dedupeOwnerReferences(object);
  const strategy: StrategyContext = { ...context, namespace };
  if (namespace !== undefined) object.metadata.namespace ??= namespace;
  else delete object.metadata.namespace;
  kind.applyDefaults?.(object);
  kind.dropDisabledFields?.(object);
  let errors: FieldError[];
  if (old === undefined) {
    for (const field of ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] as const)
      delete object.metadata[field];
    if (!object.metadata.name && object.metadata.generateName)
      object.metadata.name = object.metadata.generateName.slice(0, 58) + generatedSuffix;
    object.metadata.uid = uid;
    object.metadata.creationTimestamp = now;
    kind.prepareCreate?.(object, strategy);
    // Admission gives every pod an account before it is validated.
    if (kind.kind === "Pod") {
      const spec = object["spec"] as { serviceAccountName?: string };
      spec.serviceAccountName ??= "default";
    }
    errors = [...validateMetadata(object, kind), ...(kind.validate?.(object) ?? [])];
  } else {
    const before = copyOf(old);
    for (const field of ["uid", "deletionTimestamp", "deletionGracePeriodSeconds"] as const)
      if (before.metadata[field] !== undefined)
        (object.metadata[field] as unknown) ??= before.metadata[field];
    object.metadata.creationTimestamp = before.metadata.creationTimestamp ?? now;
    if (before.metadata.generation === undefined) delete object.metadata.generation;
    else object.metadata.generation = before.metadata.generation;
    const subresource =
      target.subresource === undefined ? undefined : kind.subresources?.[target.subresource];
    if (target.subresource !== undefined) subresource?.prepareUpdate?.(object, before, strategy);
    else kind.prepareUpdate?.(object, before, strategy);
    errors = [
      ...validateMetadataUpdate(object, before, kind),
      ...((target.subresource === undefined
        ? kind.validateUpdate?.(object, before)
        : subresource?.validateUpdate?.(object, before)) ?? []),
    ];
  }
  kind.canonicalize?.(object);
  return { errors, object: normalizeObject(kind.schemaName, object) };
}

function compare(step: Step, target: Target, outcome: Outcome): string[] {
  const expected = step.response;
  const recorded = expected.body ?? {};
  if ("badRequest" in outcome)
    return expected.status === 400 && recorded["message"] === outcome.badRequest
      ? []
      : [`400 ${outcome.badRequest}\n     expected ${expected.status} ${messageOf(recorded)}`];
  if (outcome.errors.length > 0) {
    const error = invalidError(
      { group: target.kind.group, kind: target.kind.kind, name: outcome.object.metadata.name ?? "" },
      outcome.errors,
    );
    if (expected.status !== 422)
      return [`422 ${error.message}\n     expected ${expected.status} ${messageOf(recorded)}`];
    const causes = (recorded["details"] as { causes?: Json[] } | undefined)?.causes ?? [];
    const mine = (error.details?.causes ?? []).map(causeText);
    const theirs = causes.map(causeText);
    return [
      ...theirs.filter((each) => !mine.includes(each)).map((each) => `missing ${each}`),
      ...mine.filter((each) => !theirs.includes(each)).map((each) => `extra   ${each}`),
    ];
  }
  if (expected.status >= 400)
    return [`accepted\n     expected ${expected.status} ${messageOf(recorded).slice(0, 600)}`];
  if (step.compare === "errors" || step.compare === "status") return [];
  return differences(prune(recorded), prune(outcome.object), "", target.kind);
}

/** Without what Go prints of pointers and of object differences. */
function causeText(cause: { reason?: unknown; message?: unknown; field?: unknown }): string {
  const message = String(cause.message)
    .replace(/\(<pointer>\)|\(0xc[0-9a-f]+\)/g, "(pointer)")
    .split("\n")[0];
  return `${String(cause.field)} | ${String(cause.reason)} | ${message}`;
}

/** What the API or admission set, not the kind. */
function prune(value: unknown): unknown {
  const object = copyOf(value) as KubeObject & { spec?: Json };
  const { labels, annotations, finalizers, ownerReferences } = object.metadata;
  object.metadata = {
    ...(object.metadata.name === undefined ? {} : { name: object.metadata.name }),
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
    ...(finalizers === undefined ? {} : { finalizers }),
    ...(ownerReferences === undefined ? {} : { ownerReferences }),
    ...(object.metadata.generation === undefined ? {} : { generation: object.metadata.generation }),
  };
  return object;
}

const admissionFields: Readonly<Record<string, readonly string[]>> = {
  Pod: [
    "serviceAccount",
    "serviceAccountName",
    "tolerations",
    "priority",
    "preemptionPolicy",
    "volumes",
    "volumeMounts",
  ],
  Service: ["clusterIP", "clusterIPs", "nodePort", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"],
  PersistentVolumeClaim: ["finalizers"],
  PersistentVolume: ["finalizers"],
  Node: ["taints"],
  CertificateSigningRequest: ["uid", "groups", "extra"],
};

function differences(expected: unknown, actual: unknown, path: string, kind: AnyKind): string[] {
  if (typeof expected === "string" && /^<.*>$/.test(expected) && actual !== undefined) return [];
  if (Array.isArray(expected) && Array.isArray(actual) && expected.length === actual.length)
    return expected.flatMap((each, index) => differences(each, actual[index], `${path}[${index}]`, kind));
  if (isObject(expected) && isObject(actual)) {
    return [...new Set([...Object.keys(expected), ...Object.keys(actual)])].flatMap((key) =>
      admissionFields[kind.kind]?.includes(key)
        ? []
        : differences(expected[key], actual[key], path === "" ? key : `${path}.${key}`, kind),
    );
  }
  if (Object.is(expected, actual)) return [];
  return [`${path}: expected ${text(expected)}, got ${text(actual)}`];
}

function text(value: unknown): string {
  return (JSON.stringify(value) ?? "nothing").slice(0, 200);
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function withoutPlaceholders(value: unknown): unknown {
  if (typeof value === "string") return /^<(created|time|microtime)/.test(value) ? now : value;
  if (Array.isArray(value)) return value.map(withoutPlaceholders);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, each]) => each !== "<ignored>")
      .map(([key, each]) => [key, withoutPlaceholders(each)]),
  );
}

function bodyOf(scenario: Scenario, body: unknown): unknown {
  if (!isObject(body) || typeof body["$base"] !== "string") return copyOf(body);
  const result = copyOf(scenario.objects?.[body["$base"]] ?? {});
  for (const [path, value] of Object.entries((body["$set"] ?? {}) as Json))
    setAt(result, stepsOf(path), copyOf(value));
  for (const path of (body["$remove"] ?? []) as string[]) removeAt(result, stepsOf(path));
  return result;
}

/** "a.b[0].c", with `["x.y"]` for keys that have dots. */
function stepsOf(path: string): (string | number)[] {
  const steps: (string | number)[] = [];
  for (const match of path.matchAll(/\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.[\]]+)/g)) {
    const [, quoted, index, word] = match;
    if (index !== undefined) steps.push(Number(index));
    else steps.push(quoted ?? word ?? "");
  }
  return steps;
}

function setAt(target: unknown, steps: (string | number)[], value: unknown): void {
  let current = target as Json;
  for (const [index, step] of steps.entries()) {
    if (index === steps.length - 1) current[step] = value;
    else current = (current[step] ??= typeof steps[index + 1] === "number" ? [] : {}) as Json;
  }
}

function removeAt(target: unknown, steps: (string | number)[]): void {
  let current = target as Json | unknown[] | undefined;
  for (const step of steps.slice(0, -1)) current = (current as Json | undefined)?.[step] as Json;
  const last = steps.at(-1);
  if (Array.isArray(current)) current.splice(Number(last), 1);
  else if (current !== undefined) delete current[String(last)];
}

function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: Json = isObject(target) ? { ...copyOf(target) } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

/** JSON patch; undefined where an operation does not apply. */
function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) return undefined;
  const root = { root: copyOf(target) } as Json;
  for (const each of patch as { op: string; path: string; value?: unknown }[]) {
    const steps = each.path
      .split("/")
      .slice(1)
      .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
    let current: unknown = root["root"];
    for (const step of steps.slice(0, -1)) current = (current as Json | undefined)?.[step];
    const last = steps.at(-1) ?? "";
    if (typeof current !== "object" || current === null) return undefined;
    if (Array.isArray(current)) {
      if (each.op === "add")
        current.splice(last === "-" ? current.length : Number(last), 0, copyOf(each.value));
      else if (each.op === "remove") current.splice(Number(last), 1);
      else if (each.op === "replace") current[Number(last)] = copyOf(each.value);
      else return undefined;
    } else if (each.op === "add" || each.op === "replace") (current as Json)[last] = copyOf(each.value);
    else if (each.op === "remove") {
      if (!(last in current)) return undefined;
      delete (current as Json)[last];
    } else return undefined;
  }
  return root["root"];
}
