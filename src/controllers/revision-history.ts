/** ControllerRevisions: the past templates of DaemonSets and StatefulSets. */
import { StatusError } from "#base/errors.ts";
import type { KubeObject } from "#kinds/object.ts";
import { create, get, patch, remove } from "./controller.ts";
import type { Plan, View } from "./controller.ts";
import { equal } from "./equality.ts";
import { contentHash } from "./hash.ts";
import { controllerRevisions } from "./kubernetes.ts";
import type { ControllerRevision, LabelSelector, PodTemplateSpec, Resource } from "./kubernetes.ts";
import { claim, claimable, controllerReference, isControlledBy } from "./owner.ts";
import { selects } from "./selector.ts";

export interface RevisionOwner extends KubeObject {
  spec: { selector: LabelSelector; template: PodTemplateSpec; revisionHistoryLimit?: number };
}

export interface History {
  /** The revision of the present template. */
  current: ControllerRevision;
  /** All, oldest first, the present one included. */
  all: ControllerRevision[];
}

/** Finds or makes the revision of the owner's present template and makes it the newest. Undefined collides: the hash is taken. */
export function* syncHistory(options: {
  view: View;
  resource: Resource;
  owner: RevisionOwner;
  collisionCount: number;
  labels: (hash: string) => Record<string, string>;
}): Plan<History | "collision"> {
  const { view, resource, owner, collisionCount, labels } = options;
  const all = yield* claim({
    ownerResource: resource,
    owner,
    resource: controllerRevisions,
    candidates: claimable(view, controllerRevisions, owner),
    matches: (each) => selects(owner.spec.selector, each.metadata.labels),
  });
  all.sort((a, b) => a.revision - b.revision);
  const data = { spec: { template: { ...structuredClone(owner.spec.template), $patch: "replace" } } };
  const highest = all.at(-1)?.revision ?? 0;
  const found = all.findLast((each) => equal(each["data"], data));
  if (found !== undefined) {
    if (found.revision === highest) return { current: found, all };
    const revision = highest + 1;
    const current = yield* patch<ControllerRevision>(controllerRevisions, found, "merge", { revision });
    return { current, all: [...all.filter((each) => each !== found), current] };
  }
  const hash = contentHash(data, collisionCount);
  const name = `${owner.metadata.name}-${hash}`;
  const { namespace = "", annotations } = owner.metadata;
  try {
    const current = yield* create(controllerRevisions, {
      apiVersion: "apps/v1",
      kind: "ControllerRevision",
      metadata: {
        name,
        namespace,
        labels: { ...owner.spec.template.metadata?.labels, ...labels(hash) },
        ...(annotations === undefined ? {} : { annotations }),
        ownerReferences: [controllerReference(resource, owner)],
      },
      data: data as never,
      revision: highest + 1,
    });
    return { current, all: [...all, current] };
  } catch (error) {
    if (!(error instanceof StatusError && error.reason === "AlreadyExists")) throw error;
    const existing = yield* get(controllerRevisions, namespace, name);
    if (isControlledBy(existing, owner) && equal(existing["data"], data))
      return { current: existing, all: [...all, existing] };
    return "collision";
  }
}

/** Deletes the oldest revisions that nothing uses, beyond the limit. */
export function* truncateHistory(owner: RevisionOwner, history: History, used: ReadonlySet<string>): Plan {
  const limit = owner.spec.revisionHistoryLimit ?? 10;
  const unused = history.all.filter(
    (each) => each.metadata.uid !== history.current.metadata.uid && !used.has(each.metadata.name ?? ""),
  );
  for (const each of unused.slice(0, Math.max(0, unused.length - limit))) {
    try {
      yield* remove(controllerRevisions, each);
    } catch (error) {
      if (!(error instanceof StatusError && error.reason === "NotFound")) throw error;
    }
  }
}

export function templateOf(revision: ControllerRevision): PodTemplateSpec {
  const { spec } = revision["data"] as unknown as {
    spec: { template: PodTemplateSpec & { $patch?: string } };
  };
  const { $patch: _, ...template } = spec.template;
  return template;
}
