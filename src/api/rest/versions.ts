/**
 * The edges at which objects change their version: what is read leaves in the version that is asked for,
 * what is written arrives in the version that is stored. Built-in kinds convert where they are encoded,
 * without waiting; only a conversion webhook is waited for.
 */
import type { KubeObject } from "#kinds/object.ts";
import type { Entry } from "../cache/entry.ts";
import type { Resource } from "../registry.ts";
import { entryObject } from "../wire/encode.ts";
import type { CurrentState } from "../storage/object-store.ts";
import type { Answer } from "./answer.ts";

/** Entries as they may be encoded. In one question where a webhook converts. */
export async function servedEntries(
  resource: Resource,
  entries: readonly Entry[],
): Promise<readonly Entry[]> {
  return resource.converted === undefined ? entries : resource.converted.of(entries);
}

/** The object in the version of the resource; the caller may change it. */
export async function servedObject(resource: Resource, entry: Entry): Promise<KubeObject> {
  const [served] = await servedEntries(resource, [entry]);
  return entryObject(resource, served ?? entry);
}

/** What an update starts from. The state's own object where no version differs. */
export async function liveObject(resource: Resource, current: CurrentState): Promise<KubeObject> {
  const isStored = resource.conversion === undefined && resource.converted === undefined;
  return isStored ? current.object : servedObject(resource, current.entry);
}

/** The object, which is in the version of the resource, in the one that is stored. */
export async function storedObject(resource: Resource, object: KubeObject): Promise<KubeObject> {
  if (resource.conversion !== undefined) return resource.conversion.toStorage(object);
  return resource.converted === undefined ? object : resource.converted.toStorage(object);
}

/** The answer as it may be encoded. Lists are made so already. */
export async function servedAnswer(answer: Answer): Promise<Answer> {
  if (answer.type !== "entry" || answer.resource.converted === undefined) return answer;
  const [entry] = await answer.resource.converted.of([answer.entry]);
  return { ...answer, entry: entry ?? answer.entry };
}
