/**
 * The objects of an add-on: applied when it starts, deleted when it is disabled. Every node does both,
 * and both may be done any number of times.
 */
import { assert } from "#base/assert.ts";
import { StatusError } from "#base/errors.ts";
import type { Client, ResourceName } from "#client/types.ts";
import { findKindByName } from "#kinds/all.ts";
import type { KubeObject } from "#kinds/object.ts";

const fieldManager = "trivet-addons";

export async function applyObjects(client: Client, objects: readonly KubeObject[]): Promise<void> {
  for (const { status, ...object } of objects) {
    const resource = resourceOf(object);
    const { namespace, name = "" } = object.metadata;
    const options = { fieldManager, force: true };
    await client.patch(resource, namespace, name, "apply", object, options);
    if (status === undefined) continue;
    const { apiVersion, kind, metadata } = object;
    const withStatus = { apiVersion, kind, metadata, status };
    await client.patch(resource, namespace, name, "apply", withStatus, { ...options, subresource: "status" });
  }
}

export async function deleteObjects(client: Client, objects: readonly KubeObject[]): Promise<void> {
  for (const object of objects.toReversed()) {
    const { namespace, name = "" } = object.metadata;
    try {
      await client.delete(resourceOf(object), namespace, name);
    } catch (error) {
      if (!(error instanceof StatusError && error.reason === "NotFound")) throw error;
    }
  }
}

function resourceOf(object: KubeObject): ResourceName {
  const [version = "", group = ""] = (object.apiVersion ?? "").split("/").toReversed();
  const kind = findKindByName(group, version, object.kind ?? "");
  assert(kind !== undefined, `${object.apiVersion} ${object.kind} is a kind`);
  return { group: kind.group, version: kind.version, plural: kind.plural };
}
