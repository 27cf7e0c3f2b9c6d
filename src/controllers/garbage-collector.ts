/**
 * Garbage collection: objects whose owners are gone go too, and deletions that ask for it wait for the
 * dependents (foreground) or set them free (orphan). Keys name a resource and an object of it.
 */
import { StatusError } from "#base/errors.ts";
import type { KubeObject, OwnerReference } from "#kinds/object.ts";
import { get, keyOf, patch, record, remove, splitKey } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import type { Resource } from "./kubernetes.ts";

const foreground = "foregroundDeletion";
const orphan = "orphan";

interface Dependent {
  resource: Resource;
  object: KubeObject;
}

type Owners = { solid: OwnerReference[]; dangling: OwnerReference[]; waiting: OwnerReference[] };

export const garbageCollector: Controller = {
  name: "garbage-collector-controller",
  triggers: [],
  writes: [],
  concurrency: 5,
  everything: { keys },
  plan: planCollection,
};

/** A change concerns the object itself if it has owners or waits for dependents; a deletion its dependents and owners. */
function* keys(
  resource: Resource,
  object: KubeObject | undefined,
  old: KubeObject | undefined,
  view: View,
): Iterable<string> {
  const state = object ?? old;
  if (state === undefined) return;
  if (object !== undefined && (isWaiting(object) || !isHeld(view, resource, object)))
    yield collectionKey(resource, object);
  if (object === undefined || (isWaiting(object) && (old === undefined || !isWaiting(old)))) {
    for (const each of dependentsOf(view, state)) yield collectionKey(each.resource, each.object);
    for (const owner of owners(state)) yield* ownerKeys(view, owner, state);
  }
  // An owner that waits may go on once a dependent no longer names or blocks it.
  if (object === undefined || old === undefined) return;
  for (const owner of owners(old)) {
    const now = owners(object).find((each) => each.uid === owner.uid);
    if (now?.blockOwnerDeletion !== owner.blockOwnerDeletion) yield* ownerKeys(view, owner, state);
  }
}

export function* planCollection(view: View, key: string): Plan {
  const found = lookUp(view, key);
  if (found === undefined) return;
  const { resource, object } = found;
  const finalizers = object.metadata.finalizers ?? [];
  if (object.metadata.deletionTimestamp !== undefined) {
    if (finalizers.includes(orphan)) yield* releaseDependents(view, resource, object);
    else if (finalizers.includes(foreground)) yield* deleteDependents(view, resource, object);
    if (!finalizers.includes(foreground)) return;
  }
  if (owners(object).length > 0) yield* collect(view, resource, object);
}

/** Decides by the state of the owners whether the object stays, loses references, or goes. */
function* collect(view: View, resource: Resource, seen: KubeObject): Plan {
  const object = yield* unlessGone(get(resource, seen.metadata.namespace, seen.metadata.name ?? ""));
  if (object === undefined || object.metadata.uid !== seen.metadata.uid) return;
  if (object.metadata.deletionTimestamp !== undefined && !isForeground(object)) return;
  const classes = yield* classify(view, resource, object);
  if (classes === undefined) return;
  const { solid, dangling, waiting } = classes;
  if (solid.length > 0) {
    const lost = [...dangling, ...waiting];
    if (lost.length > 0) yield* dropReferences(resource, object, lost);
    return;
  }
  if (object.metadata.deletionTimestamp !== undefined && waiting.length === 0) return;
  const dependents = dependentsOf(view, object);
  if (waiting.length > 0 && dependents.length > 0) {
    // In a circle of foreground deletions somebody has to stop blocking.
    if (dependents.some((each) => isForeground(each.object))) yield* unblock(resource, object);
    if (object.metadata.deletionTimestamp === undefined)
      yield* removeIfUnchanged(resource, object, "Foreground");
    return;
  }
  if (object.metadata.deletionTimestamp !== undefined) return;
  const finalizers = object.metadata.finalizers ?? [];
  const propagation = finalizers.includes(orphan)
    ? "Orphan"
    : finalizers.includes(foreground)
      ? "Foreground"
      : "Background";
  yield* removeIfUnchanged(resource, object, propagation);
}

/** Nothing to decide: all of its owners are known and stay. Their end brings the object back here. */
function isHeld(view: View, resource: Resource, object: KubeObject): boolean {
  return owners(object).every((reference) => {
    const ownerResource = resourceOf(view, reference);
    if (ownerResource === undefined || (ownerResource.namespaced && !resource.namespaced)) return false;
    const namespace = ownerResource.namespaced ? object.metadata.namespace : undefined;
    const owner = view.get(ownerResource, namespace, reference.name);
    return owner?.metadata.uid === reference.uid && !isForeground(owner);
  });
}

/** Undefined when an owner's kind is not served: nothing can be said then. */
function* classify(view: View, resource: Resource, object: KubeObject): Plan<Owners | undefined> {
  const classes: Owners = { solid: [], dangling: [], waiting: [] };
  for (const reference of owners(object)) {
    const ownerResource = resourceOf(view, reference);
    if (ownerResource === undefined) return undefined;
    if (ownerResource.namespaced && !resource.namespaced) {
      yield* record(
        object,
        "Warning",
        "OwnerRefInvalidNamespace",
        `ownerRef [${formatReference(reference)}] does not exist in namespace ""`,
      );
      return undefined;
    }
    const namespace = ownerResource.namespaced ? object.metadata.namespace : undefined;
    const known = view.get(ownerResource, namespace, reference.name);
    const owner =
      known?.metadata.uid === reference.uid
        ? known
        : yield* unlessGone(get(ownerResource, namespace, reference.name));
    if (owner?.metadata.uid !== reference.uid) classes.dangling.push(reference);
    else if (isForeground(owner)) classes.waiting.push(reference);
    else classes.solid.push(reference);
  }
  return classes;
}

function* deleteDependents(view: View, resource: Resource, object: KubeObject): Plan {
  const dependents = dependentsOf(view, object);
  const blocking = dependents.filter((each) =>
    owners(each.object).some(
      (owner) => owner.uid === object.metadata.uid && owner.blockOwnerDeletion === true,
    ),
  );
  if (blocking.length === 0) {
    yield* dropFinalizer(resource, object, foreground);
    return;
  }
  for (const each of dependents) yield* collect(view, each.resource, each.object);
}

function* releaseDependents(view: View, resource: Resource, object: KubeObject): Plan {
  const reference = { uid: object.metadata.uid ?? "" } as OwnerReference;
  for (const each of dependentsOf(view, object))
    yield* dropReferences(each.resource, each.object, [reference]);
  yield* dropFinalizer(resource, object, orphan);
}

function* dropReferences(resource: Resource, seen: KubeObject, lost: readonly OwnerReference[]): Plan {
  const object = yield* unlessGone(get(resource, seen.metadata.namespace, seen.metadata.name ?? ""));
  if (object === undefined || object.metadata.uid !== seen.metadata.uid) return;
  const uids = new Set(lost.map((each) => each.uid));
  const ownerReferences = owners(object).filter((each) => !uids.has(each.uid));
  yield* unlessGone(patch(resource, object, "merge", withVersion(object, { ownerReferences })));
}

function* unblock(resource: Resource, object: KubeObject): Plan {
  const ownerReferences = owners(object).map((each) => ({ ...each, blockOwnerDeletion: false }));
  yield* unlessGone(
    patch(resource, object, "merge", { metadata: { uid: object.metadata.uid, ownerReferences } }),
  );
}

function* dropFinalizer(resource: Resource, seen: KubeObject, finalizer: string): Plan {
  const object = yield* unlessGone(get(resource, seen.metadata.namespace, seen.metadata.name ?? ""));
  if (object === undefined || object.metadata.uid !== seen.metadata.uid) return;
  const finalizers = (object.metadata.finalizers ?? []).filter((each) => each !== finalizer);
  yield* unlessGone(patch(resource, object, "merge", withVersion(object, { finalizers })));
}

function withVersion(object: KubeObject, metadata: Record<string, unknown>): unknown {
  const { uid, resourceVersion } = object.metadata;
  return { metadata: { uid, resourceVersion, ...metadata } };
}

function* removeIfUnchanged(
  resource: Resource,
  object: KubeObject,
  propagation: "Orphan" | "Background" | "Foreground",
): Plan {
  const { resourceVersion } = object.metadata;
  yield* unlessGone(
    remove(resource, object, { propagation, ...(resourceVersion === undefined ? {} : { resourceVersion }) }),
  );
}

function* unlessGone<T>(steps: Plan<T>): Plan<T | undefined> {
  try {
    return yield* steps;
  } catch (error) {
    if (error instanceof StatusError && error.reason === "NotFound") return undefined;
    throw error;
  }
}

function owners(object: KubeObject): OwnerReference[] {
  return object.metadata.ownerReferences ?? [];
}

function isForeground(object: KubeObject): boolean {
  return (
    object.metadata.deletionTimestamp !== undefined && (object.metadata.finalizers ?? []).includes(foreground)
  );
}

function isWaiting(object: KubeObject): boolean {
  if (object.metadata.deletionTimestamp === undefined) return false;
  return (object.metadata.finalizers ?? []).some((each) => each === foreground || each === orphan);
}

function dependentsOf(view: View, owner: KubeObject): Dependent[] {
  const { uid, namespace } = owner.metadata;
  if (uid === undefined) return [];
  return view.resources().flatMap((resource) =>
    view
      .byIndex(resource, "owner", uid)
      .filter((object) => namespace === undefined || object.metadata.namespace === namespace)
      .map((object) => ({ resource, object })),
  );
}

function* ownerKeys(view: View, owner: OwnerReference, dependent: KubeObject): Iterable<string> {
  const resource = resourceOf(view, owner);
  if (resource === undefined) return;
  const found = view.get(
    resource,
    resource.namespaced ? dependent.metadata.namespace : undefined,
    owner.name,
  );
  if (found !== undefined && isForeground(found)) yield collectionKey(resource, found);
}

/** By group and kind: the version of a reference says nothing about identity. */
function resourceOf(view: View, reference: OwnerReference): Resource | undefined {
  const [first, version] = reference.apiVersion.split("/");
  const group = version === undefined ? "" : first;
  return view.resources().find((each) => each.group === group && each.kind === reference.kind);
}

function collectionKey(resource: Resource, object: KubeObject): string {
  return `${keyOf(object)}|${resource.group}/${resource.plural}`;
}

function lookUp(view: View, key: string): Dependent | undefined {
  const bar = key.lastIndexOf("|");
  const { namespace, name } = splitKey(key.slice(0, bar));
  const [group, plural] = key.slice(bar + 1).split("/");
  const resource = view.resources().find((each) => each.group === group && each.plural === plural);
  if (resource === undefined) return undefined;
  const object = view.get(resource, namespace === "" ? undefined : namespace, name);
  return object === undefined ? undefined : { resource, object };
}

function formatReference({ apiVersion, kind, name, uid }: OwnerReference): string {
  return `${apiVersion}/${kind}, namespace: , name: ${name}, uid: ${uid}`;
}
