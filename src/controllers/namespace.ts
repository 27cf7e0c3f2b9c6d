/** Deletion of namespaces: removes all content, says what holds it up, then lets the namespace go. */
import { StatusError } from "#base/errors.ts";
import { list, on, requeueAfter, self, updateStatus } from "./controller.ts";
import type { Controller, DiscoveredResource, Plan, View } from "./controller.ts";
import { setCondition } from "./conditions.ts";
import type { Condition } from "./conditions.ts";
import { equal } from "./equality.ts";
import { namespaces } from "./kubernetes.ts";
import type { Namespace } from "./kubernetes.ts";
import { messageOf } from "./pod-control.ts";

/** How soon a namespace that isn't empty yet is looked at again. */
const recheckMs = 1000;

interface Remains {
  /** Instances by "plural.group". */
  resources: Map<string, number>;
  finalizers: Map<string, number>;
  failures: string[];
}

export const namespaceController: Controller = {
  name: "namespace-controller",
  triggers: [on(namespaces, self, (namespace) => namespace?.metadata.deletionTimestamp !== undefined)],
  writes: [namespaces],
  concurrency: 5,
  plan: planNamespace,
};

export function* planNamespace(view: View, key: string, nowMs: number): Plan {
  let namespace = view.get(namespaces, undefined, key);
  if (namespace?.metadata.deletionTimestamp === undefined) return;
  if (!(namespace.spec.finalizers ?? []).includes("kubernetes")) return;
  const { remains, discoveryFailure } = yield* deleteContent(key);
  const status = {
    ...namespace.status,
    phase: "Terminating",
    conditions: conditions(namespace, remains, discoveryFailure, nowMs),
  };
  if (!equal(status, namespace.status)) {
    namespace = yield* updateStatus(namespaces, { ...namespace, status } as Namespace);
  }
  const { resources, failures } = remains;
  if (discoveryFailure !== undefined || failures.length > 0 || resources.size > 0) {
    yield* requeueAfter(recheckMs);
    return;
  }
  const finalizers = (namespace.spec.finalizers ?? []).filter((each) => each !== "kubernetes");
  yield {
    type: "update",
    resource: namespaces,
    object: { ...namespace, spec: { finalizers } },
    subresource: "finalize",
  };
}

function* deleteContent(name: string): Plan<{ remains: Remains; discoveryFailure: string | undefined }> {
  const remains: Remains = { resources: new Map(), finalizers: new Map(), failures: [] };
  let served: DiscoveredResource[];
  try {
    served = (yield { type: "discover" }) as DiscoveredResource[];
  } catch (error) {
    return { remains, discoveryFailure: messageOf(error) };
  }
  for (const resource of served) {
    if (!resource.namespaced || !resource.verbs.includes("delete") || !resource.verbs.includes("list"))
      continue;
    try {
      yield* deleteAllOf(resource, name, remains);
    } catch (error) {
      // A custom resource whose definition went a moment ago has no content any more.
      if (
        error instanceof StatusError &&
        (error.reason === "NotFound" || error.reason === "MethodNotAllowed")
      )
        continue;
      remains.failures.push(messageOf(error));
    }
  }
  return { remains, discoveryFailure: undefined };
}

function* deleteAllOf(resource: DiscoveredResource, namespace: string, remains: Remains): Plan {
  let items = yield* list(resource, namespace);
  if (items.length === 0) return;
  if (resource.verbs.includes("deletecollection")) yield { type: "deleteCollection", resource, namespace };
  else for (const object of items) yield { type: "delete", resource, object, propagation: "Background" };
  items = yield* list(resource, namespace);
  if (items.length === 0) return;
  remains.resources.set(`${resource.plural}.${resource.group}`, items.length);
  for (const finalizer of items.flatMap((each) => each.metadata.finalizers ?? [])) {
    remains.finalizers.set(finalizer, (remains.finalizers.get(finalizer) ?? 0) + 1);
  }
}

function conditions(
  namespace: Namespace,
  { resources, finalizers, failures }: Remains,
  discoveryFailure: string | undefined,
  nowMs: number,
): Condition[] {
  const counted = (counts: Map<string, number>, word: string): string =>
    [...counts]
      .map(([name, count]) => `${name} ${word} ${count} resource instances`)
      .sort((a, b) => (a < b ? -1 : 1))
      .join(", ");
  const wanted: [type: string, problem: [string, string] | undefined, fine: [string, string]][] = [
    [
      "NamespaceDeletionDiscoveryFailure",
      discoveryFailure === undefined
        ? undefined
        : ["DiscoveryFailed", `Discovery failed for some groups, 1 failing: ${discoveryFailure}`],
      ["ResourcesDiscovered", "All resources successfully discovered"],
    ],
    [
      "NamespaceDeletionGroupVersionParsingFailure",
      undefined,
      ["ParsedGroupVersions", "All legacy kube types successfully parsed"],
    ],
    [
      "NamespaceDeletionContentFailure",
      failures.length === 0
        ? undefined
        : [
            "ContentDeletionFailed",
            `Failed to delete all resource types, ${failures.length} remaining: ${failures.join(", ")}`,
          ],
      ["ContentDeleted", "All content successfully deleted, may be waiting on finalization"],
    ],
    [
      "NamespaceContentRemaining",
      resources.size === 0
        ? undefined
        : ["SomeResourcesRemain", `Some resources are remaining: ${counted(resources, "has")}`],
      ["ContentRemoved", "All content successfully removed"],
    ],
    [
      "NamespaceFinalizersRemaining",
      finalizers.size === 0
        ? undefined
        : [
            "SomeFinalizersRemain",
            `Some content in the namespace has finalizers remaining: ${counted(finalizers, "in")}`,
          ],
      ["ContentHasNoFinalizers", "All content-preserving finalizers finished"],
    ],
  ];
  let list = (namespace.status.conditions ?? []) as Condition[];
  for (const [type, problem, fine] of wanted) {
    const [reason, message] = problem ?? fine;
    list = setCondition(
      list,
      { type, status: problem === undefined ? "False" : "True", reason, message },
      nowMs,
    );
  }
  return list;
}
