/**
 * PodSecurity: holds pods to the Pod Security Standards that their namespace's labels ask for. Pods are
 * refused or warned about; what makes pods (Deployments, Jobs, …) is only warned about, as its pods are
 * checked when they come. A namespace's labels are checked too, and a stricter level lists the pods that
 * already break it. The audit level is read and checked; there is no audit log to write it to yet.
 */
import type { PodSpec } from "kubernetes-types/core/v1.d.ts";
import { deepEqual } from "#kinds/equality.ts";
import { invalidError } from "#kinds/field-error.ts";
import type { KubeObject, ObjectMeta } from "#kinds/object.ts";
import { objectKey } from "../registry.ts";
import type { ResourceRegistry } from "../registry.ts";
import { forbiddenError } from "../status.ts";
import type { AdmissionPlugin, AdmissionRequest } from "../admission/admission.ts";
import { baselineChecks } from "./baseline.ts";
import type { Check } from "./baseline.ts";
import { viewOf } from "./pod-view.ts";
import type { PodView, Violation } from "./pod-view.ts";
import { describe, isStricter, policyOf } from "./policy.ts";
import type { LevelVersion } from "./policy.ts";
import { restrictedChecks } from "./restricted.ts";

const latestMinor = 32;
/** A namespace may have more pods than anybody wants to wait for. */
const checkedPodsMax = 3_000;
const templated: ReadonlySet<string> = new Set([
  "replicationcontrollers",
  "podtemplates",
  "replicasets.apps",
  "deployments.apps",
  "statefulsets.apps",
  "daemonsets.apps",
  "jobs.batch",
  "cronjobs.batch",
]);

export function podSecurity(registry: ResourceRegistry): AdmissionPlugin {
  return {
    name: "PodSecurity",
    validate(request) {
      const { kind } = request.resource;
      if (request.object === undefined) return;
      if (request.operation !== "CREATE" && request.operation !== "UPDATE") return;
      const resource = kind.group === "" ? kind.plural : `${kind.plural}.${kind.group}`;
      if (resource === "namespaces") checkNamespace(registry, request, request.object);
      else if (resource === "pods") checkPod(registry, request, request.object);
      else if (templated.has(resource) && request.subresource === "") {
        const view = templateOf(request.object);
        if (view !== undefined) warn(view, policyIn(registry, request.namespace).warn, request);
      }
    },
  };
}

function policyIn(registry: ResourceRegistry, namespace: string): ReturnType<typeof policyOf> {
  const stored = registry.builtIn("", "namespaces").stored;
  return policyOf(stored?.cache.get(objectKey(stored, "", namespace))?.labels);
}

function checkPod(registry: ResourceRegistry, request: AdmissionRequest, pod: KubeObject): void {
  if (request.subresource !== "" && request.subresource !== "ephemeralcontainers") return;
  if (request.old !== undefined && !isSignificant(pod, request.old)) return;
  const view = viewOf(pod.metadata, pod["spec"] as PodSpec);
  const { enforce, warn: warnLevel } = policyIn(registry, request.namespace);
  const violations = violationsOf(view, enforce);
  if (violations.length > 0) {
    const why = `violates PodSecurity "${describe(enforce)}": ${listOf(violations)}`;
    throw forbiddenError(request.resource.groupResource, request.name, why);
  }
  warn(view, warnLevel, request);
}

function warn(view: PodView, level: LevelVersion, request: AdmissionRequest): void {
  const violations = violationsOf(view, level);
  if (violations.length === 0) return;
  request.warnings.push(`would violate PodSecurity "${describe(level)}": ${listOf(violations)}`);
}

/** Of what can change in a pod, only these matter here: other changes of old pods are let through. */
function isSignificant(pod: KubeObject, old: KubeObject): boolean {
  const shape = (object: KubeObject): unknown => {
    const spec = object["spec"] as PodSpec;
    const images = (list: readonly { name: string; image?: string }[] | undefined): unknown =>
      (list ?? []).map(({ name, image }) => [name, image]);
    const annotations = Object.entries(object.metadata.annotations ?? {}).filter(([name]) =>
      name.includes("apparmor.security.beta.kubernetes.io/"),
    );
    return [
      images(spec.containers),
      images(spec.initContainers),
      images(spec.ephemeralContainers),
      Object.fromEntries(annotations),
    ];
  };
  return !deepEqual(shape(pod), shape(old));
}

interface Template {
  metadata?: ObjectMeta;
  spec?: PodSpec & { template?: Template; jobTemplate?: Template };
  template?: Template;
}

/** The pod inside of what makes pods; undefined where there is none. */
function templateOf(object: KubeObject): PodView | undefined {
  const outer = object as unknown as Template;
  const inner = outer.spec?.jobTemplate?.spec?.template ?? outer.spec?.template ?? outer.template;
  if (inner?.spec === undefined) return undefined;
  return viewOf(inner.metadata as { annotations?: Record<string, string> } | undefined, inner.spec);
}

function checkNamespace(registry: ResourceRegistry, request: AdmissionRequest, namespace: KubeObject): void {
  if (request.subresource !== "") return;
  const name = namespace.metadata.name ?? "";
  const policy = policyOf(namespace.metadata.labels);
  const before = request.old === undefined ? undefined : policyOf(request.old.metadata.labels);
  if (policy.errors.length > 0 && !deepEqual(policy.errors, before?.errors)) {
    throw invalidError({ group: "", kind: "Namespace", name }, policy.errors);
  }
  if (before === undefined || policy.enforce.level === "privileged") return;
  const isSame = policy.enforce.version === before.enforce.version;
  if (isSame && !isStricter(policy.enforce, before.enforce)) return;
  request.warnings.push(...existingViolations(registry, name, policy.enforce));
}

function existingViolations(registry: ResourceRegistry, namespace: string, level: LevelVersion): string[] {
  const pods = registry.builtIn("", "pods").stored?.cache.list(namespace) ?? [];
  const byReasons = new Map<string, string[]>();
  for (const entry of pods.slice(0, checkedPodsMax)) {
    const pod = entry.decode();
    const violations = violationsOf(viewOf(pod.metadata, pod["spec"] as PodSpec), level);
    if (violations.length === 0) continue;
    const reasons = violations.map((each) => each.reason).join(", ");
    byReasons.set(reasons, [...(byReasons.get(reasons) ?? []), entry.name]);
  }
  if (byReasons.size === 0) return [];
  const lines = [...byReasons].map(([reasons, [first = "", ...others]]) => {
    if (others.length === 0) return `${first}: ${reasons}`;
    return `${first} (and ${others.length} other ${others.length === 1 ? "pod" : "pods"}): ${reasons}`;
  });
  const head = `existing pods in namespace "${namespace}" violate the new PodSecurity enforce level "${describe(level)}"`;
  const rest =
    pods.length > checkedPodsMax
      ? [
          `new PodSecurity enforce level only checked against the first ${checkedPodsMax} of ${pods.length} existing pods`,
        ]
      : [];
  return [...rest, head, ...lines.sort()];
}

function violationsOf(view: PodView, { level, version }: LevelVersion): Violation[] {
  if (level === "privileged") return [];
  const minor = version === "latest" ? latestMinor : Math.min(version, latestMinor);
  return checksOf(level, minor).flatMap((check) => check.find(view, minor) ?? []);
}

function checksOf(level: "baseline" | "restricted", minor: number): Check[] {
  const applies = (check: Check): boolean => check.sinceMinor <= minor;
  if (level === "baseline") return baselineChecks.filter(applies);
  const stricter = restrictedChecks.filter(applies);
  const replaced = new Set(stricter.map((each) => each.id));
  return [...baselineChecks.filter((each) => applies(each) && !replaced.has(each.id)), ...stricter];
}

function listOf(violations: readonly Violation[]): string {
  return violations.map((each) => `${each.reason} (${each.detail})`).join(", ");
}
