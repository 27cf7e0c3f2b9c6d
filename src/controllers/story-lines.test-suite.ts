/** What an action did, in the lines of a story: an object that is new, or the fields that differ. */
import type { KubeObject } from "#kinds/object.ts";
import type { Action } from "./controller.ts";
import { controllerOf } from "./owner.ts";
import type { Describe } from "./transcript.test-suite.ts";

export const describeFully: Describe = (action, old, result) => {
  switch (action.type) {
    case "get":
    case "list":
    case "digest":
      return [];
    case "create":
      if (result?.metadata.name === undefined) return [`ask ${action.resource.kind}`];
      return [`create ${nameOf(action.resource.kind, result)}${ownerOf(result)}`, ...contents(result)];
    case "update":
    case "patch": {
      const part = action.subresource === undefined ? "" : `${action.subresource} of `;
      return [
        `${action.type} ${part}${nameOf(action.resource.kind, result!)}`,
        ...differences(old!, result!),
      ];
    }
    case "delete":
      return [`delete ${nameOf(action.resource.kind, action.object)}${optionsOf(action)}`];
    case "deleteCollection":
      return [`delete all ${action.resource.plural} of ${action.namespace}`];
    case "event":
      return [
        `event ${action.eventType} ${action.reason} on ${nameOf(action.object.kind ?? "", action.object)}: ${action.message}`,
      ];
    case "requeueAfter":
      return [`again after ${action.delayMs / 1000} s`];
    case "post":
      return [
        `post ${action.subresource} of ${action.resource.kind} ${action.namespace ?? ""}/${action.name} ${JSON.stringify(action.body)}`,
      ];
    default: {
      const { type, ...rest } = action;
      return [`${type} ${JSON.stringify("policy" in rest ? {} : rest)}`];
    }
  }
};

function nameOf(kind: string, { metadata }: KubeObject): string {
  return `${kind} ${metadata.namespace === undefined ? "" : `${metadata.namespace}/`}${metadata.name}`;
}

function ownerOf(object: KubeObject): string {
  const owner = controllerOf(object);
  return owner === undefined ? "" : ` of ${owner.kind} ${owner.name}`;
}

function optionsOf(action: Action & { type: "delete" }): string {
  const { propagation, gracePeriodSeconds } = action;
  return [
    propagation === undefined ? "" : ` (${propagation})`,
    gracePeriodSeconds === undefined ? "" : ` within ${gracePeriodSeconds} s`,
  ].join("");
}

/** What the server adds, and what every story's objects have alike. */
const untold =
  /^(apiVersion|kind|data|metadata\.(name|namespace|generateName|uid|creationTimestamp|resourceVersion|generation))$|^spec\.(template|jobTemplate)$/;
/** What defaults make of a pod, and its containers. */
const podDefaults =
  /^spec\.(containers|dnsPolicy|restartPolicy|securityContext|terminationGracePeriodSeconds|schedulerName)\b/;

function contents(object: KubeObject): string[] {
  const isOwned = controllerOf(object) !== undefined;
  return [...leaves(object)]
    .filter(([path]) => !(isOwned && path.startsWith("metadata.ownerReferences")))
    .filter(([path]) => !(object.kind === "Pod" && podDefaults.test(path)))
    .map(([path, value]) => `  ${path}: ${value}`);
}

function differences(old: KubeObject, object: KubeObject): string[] {
  const before = new Map(leaves(old));
  const after = new Map(leaves(object));
  const paths = [...new Set([...before.keys(), ...after.keys()])];
  return paths
    .filter((path) => before.get(path) !== after.get(path))
    .map((path) => {
      const now = after.get(path) ?? "-";
      // Of a condition what it says now is enough.
      return path.startsWith("status.conditions[")
        ? `  ${path}: ${now}`
        : `  ${path}: ${before.get(path) ?? "-"} -> ${now}`;
    });
}

/** Paths and values; members of lists are values, each by what names it. */
function* leaves(value: unknown, path = ""): Generator<[string, string]> {
  // Data of ConfigMaps and Secrets is told, data of revisions is a whole template.
  if (untold.test(path) && !(path === "data" && !Object.hasOwn(value as object, "spec"))) return;
  if (typeof value !== "object" || value === null) {
    yield [path, JSON.stringify(value)];
  } else if (Array.isArray(value)) {
    if (value.every((each) => typeof each !== "object")) yield [path, JSON.stringify(value)];
    else for (const [index, each] of value.entries()) yield [`${path}[${labelOf(each, index)}]`, flow(each)];
  } else {
    const parts = Object.entries(value);
    if (parts.length === 0 && path.includes(".")) yield [path, "{}"];
    for (const [name, part] of parts) yield* leaves(part, path === "" ? name : `${path}.${name}`);
  }
}

/** Members of lists are told by what names them: conditions, containers, taints. */
function labelOf(member: object, index: number): string {
  const { type, name, key, effect, uid } = member as Record<string, string | undefined>;
  return (
    type ??
    name ??
    (key === undefined || effect === undefined ? key : `${key}:${effect}`) ??
    uid ??
    `${index}`
  );
}

function flow(member: object): string {
  const { type, status, reason, message, ...rest } = member as Record<string, unknown>;
  const isCondition = typeof type === "string" && typeof status === "string";
  if (!isCondition)
    return JSON.stringify(member)
      .replaceAll(/"([a-zA-Z]+)":/g, "$1: ")
      .replaceAll(",", ", ");
  const since = rest["lastTransitionTime"] as string | undefined;
  return [status, reason, since === undefined ? "" : `since ${since}`, message]
    .filter((each) => each !== undefined && each !== "")
    .join(", ");
}
