/** Access to a resource's storage, for handlers that are only reached for stored kinds. */
import type { Resource, StoredResource } from "../registry.ts";
import type { ObjectPlace } from "../storage/object-store.ts";
import { methodNotAllowedOnPath } from "../status.ts";

export function storedOf(resource: Resource): StoredResource {
  if (resource.stored === undefined) throw methodNotAllowedOnPath();
  return resource.stored;
}

export function placeOf(resource: Resource, namespace: string, name: string): ObjectPlace {
  return { stored: storedOf(resource), groupResource: resource.groupResource, namespace, name };
}
