/** Pods from templates, and the events that their creation and deletion leave at the owner. */
import { StatusError } from "#base/errors.ts";
import type { KubeObject } from "#kinds/object.ts";
import { create, record, remove } from "./controller.ts";
import type { Plan, Unsaved } from "./controller.ts";
import { pods } from "./kubernetes.ts";
import type { Pod, PodTemplateSpec, Resource } from "./kubernetes.ts";
import { controllerReference } from "./owner.ts";

export function podFromTemplate(
  resource: Resource,
  owner: KubeObject,
  template: PodTemplateSpec,
): Unsaved<Pod> {
  const { labels, annotations, finalizers } = template.metadata ?? {};
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      generateName: `${owner.metadata.name}-`,
      namespace: owner.metadata.namespace ?? "",
      ...(labels === undefined ? {} : { labels: { ...labels } }),
      ...(annotations === undefined ? {} : { annotations: { ...annotations } }),
      ...(finalizers === undefined ? {} : { finalizers: [...finalizers] }),
      ownerReferences: [controllerReference(resource, owner)],
    },
    spec: structuredClone(template.spec ?? { containers: [] }),
  };
}

export function* createPod(owner: KubeObject, pod: Unsaved<Pod>): Plan<Pod> {
  try {
    const created = yield* create(pods, pod);
    yield* record(owner, "Normal", "SuccessfulCreate", `Created pod: ${created.metadata.name}`);
    return created;
  } catch (error) {
    if (!isNamespaceTerminating(error)) {
      yield* record(owner, "Warning", "FailedCreate", `Error creating: ${messageOf(error)}`);
    }
    throw error;
  }
}

/** A pod that is gone already is what was wanted. */
export function* deletePod(owner: KubeObject, pod: Pod): Plan {
  try {
    yield* remove(pods, pod);
  } catch (error) {
    if (error instanceof StatusError && error.reason === "NotFound") return;
    yield* record(owner, "Warning", "FailedDelete", `Error deleting: ${messageOf(error)}`);
    throw error;
  }
  yield* record(owner, "Normal", "SuccessfulDelete", `Deleted pod: ${pod.metadata.name}`);
}

export function isNamespaceTerminating(error: unknown): boolean {
  return (
    error instanceof StatusError &&
    (error.details?.causes ?? []).some((cause) => cause.reason === "NamespaceTerminating")
  );
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
