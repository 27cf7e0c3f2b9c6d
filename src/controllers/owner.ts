/**
 * Owners: which controller an object belongs to, and how a controller takes in orphans that its
 * selector matches and lets go of what it no longer matches.
 */
import { StatusError } from "#base/errors.ts";
import type { KubeObject, OwnerReference } from "#kinds/object.ts";
import { get, patch } from "./controller.ts";
import type { Plan, View } from "./controller.ts";
import { apiVersionOf } from "./kubernetes.ts";
import type { Resource } from "./kubernetes.ts";

export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((each) => each.controller === true);
}

export function isControlledBy(object: KubeObject, owner: KubeObject): boolean {
  return controllerOf(object)?.uid === owner.metadata.uid;
}

export function controllerReference(resource: Resource, owner: KubeObject): OwnerReference {
  return {
    apiVersion: apiVersionOf(resource),
    kind: resource.kind,
    name: owner.metadata.name ?? "",
    uid: owner.metadata.uid ?? "",
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** The key of the owner when the object is controlled by one of this resource. */
export function* controllerKeys(resource: Resource, object: KubeObject): Iterable<string> {
  const owner = controllerOf(object);
  if (owner?.kind !== resource.kind || !owner.apiVersion.startsWith(resource.group)) return;
  const { namespace } = object.metadata;
  yield namespace === undefined ? owner.name : `${namespace}/${owner.name}`;
}

/** The value of the index "controller" for objects that nobody controls. */
export function orphansOf(namespace: string | undefined): string {
  return `orphans/${namespace ?? ""}`;
}

/** What an owner may claim: the objects that it controls, and those of its namespace that nobody controls. */
export function claimable<T extends KubeObject>(view: View, resource: Resource<T>, owner: KubeObject): T[] {
  const { uid = "", namespace } = owner.metadata;
  return [
    ...view.byIndex(resource, "controller", orphansOf(namespace)),
    ...view.byIndex(resource, "controller", uid),
  ];
}

/** The candidates that belong to the owner after orphans were adopted and strangers released. */
export function* claim<T extends KubeObject>(options: {
  ownerResource: Resource;
  owner: KubeObject;
  resource: Resource<T>;
  candidates: readonly T[];
  matches: (object: T) => boolean;
}): Plan<T[]> {
  const { ownerResource, owner, resource, candidates, matches } = options;
  const claimed: T[] = [];
  let mayAdopt: boolean | undefined;
  for (const object of candidates) {
    const controller = controllerOf(object);
    if (controller !== undefined) {
      if (controller.uid !== owner.metadata.uid) continue;
      if (matches(object)) claimed.push(object);
      else if (owner.metadata.deletionTimestamp === undefined) yield* release(resource, object, owner);
      continue;
    }
    if (owner.metadata.deletionTimestamp !== undefined || object.metadata.deletionTimestamp !== undefined)
      continue;
    if (!matches(object)) continue;
    mayAdopt ??= yield* isStillThere(ownerResource, owner);
    if (!mayAdopt) continue;
    const adopted = yield* adopt(resource, object, controllerReference(ownerResource, owner));
    if (adopted !== undefined) claimed.push(adopted);
  }
  return claimed;
}

/** Asks the API itself: a copy may not show yet that the owner is being deleted. */
function* isStillThere(resource: Resource, owner: KubeObject): Plan<boolean> {
  const fresh = yield* get(resource, owner.metadata.namespace, owner.metadata.name ?? "");
  return fresh.metadata.uid === owner.metadata.uid && fresh.metadata.deletionTimestamp === undefined;
}

function* adopt<T extends KubeObject>(
  resource: Resource<T>,
  object: T,
  reference: OwnerReference,
): Plan<T | undefined> {
  return yield* unlessGone(
    patch<T>(resource, object, "strategic", {
      metadata: { uid: object.metadata.uid, ownerReferences: [reference] },
    }),
  );
}

function* release(resource: Resource, object: KubeObject, owner: KubeObject): Plan {
  yield* unlessGone(
    patch(resource, object, "strategic", {
      metadata: {
        uid: object.metadata.uid,
        ownerReferences: [{ $patch: "delete", uid: owner.metadata.uid }],
      },
    }),
  );
}

function* unlessGone<T>(steps: Plan<T>): Plan<T | undefined> {
  try {
    return yield* steps;
  } catch (error) {
    if (error instanceof StatusError && (error.reason === "NotFound" || error.reason === "Invalid"))
      return undefined;
    throw error;
  }
}
