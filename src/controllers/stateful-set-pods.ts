/** The pods of a StatefulSet with their identity, and the claims that go with them. */
import { StatusError } from "#base/errors.ts";
import type { OwnerReference } from "#kinds/object.ts";
import { create, patch, record } from "./controller.ts";
import type { Plan, Unsaved, View } from "./controller.ts";
import { equal } from "./equality.ts";
import { persistentVolumeClaims, pods, statefulSets } from "./kubernetes.ts";
import type { PersistentVolumeClaim, Pod, PodTemplateSpec, StatefulSet } from "./kubernetes.ts";
import { messageOf, podFromTemplate } from "./pod-control.ts";

/** -1 for a pod that isn't named as a member of the set. */
export function ordinalOf(set: StatefulSet, pod: Pod): number {
  const match = /^(.*)-(\d+)$/.exec(pod.metadata.name ?? "");
  return match?.[1] === set.metadata.name ? Number(match![2]) : -1;
}

export function* createStatefulPod(
  view: View,
  set: StatefulSet,
  ordinal: number,
  template: PodTemplateSpec,
  revision: string,
): Plan<Pod> {
  const name = `${set.metadata.name}-${ordinal}`;
  const what = `create Pod ${name} in StatefulSet ${set.metadata.name}`;
  try {
    for (const each of set.spec.volumeClaimTemplates ?? []) {
      yield* ensureClaim(view, set, name, `${each.metadata?.name}-${name}`, each as PersistentVolumeClaim);
    }
    const pod = yield* create(pods, podFor(set, ordinal, template, revision));
    yield* record(set, "Normal", "SuccessfulCreate", `${what} successful`);
    return pod;
  } catch (error) {
    yield* record(set, "Warning", "FailedCreate", `${what} failed error: ${messageOf(error)}`);
    throw error;
  }
}

function podFor(
  set: StatefulSet,
  ordinal: number,
  template: PodTemplateSpec,
  revision: string,
): Unsaved<Pod> {
  const pod = podFromTemplate(statefulSets, set, template);
  const name = `${set.metadata.name}-${ordinal}`;
  pod.metadata.name = name;
  pod.metadata.labels = {
    ...pod.metadata.labels,
    "statefulset.kubernetes.io/pod-name": name,
    "apps.kubernetes.io/pod-index": String(ordinal),
    "controller-revision-hash": revision,
  };
  pod.spec.hostname = name;
  pod.spec.subdomain = set.spec.serviceName ?? "";
  const claimed = (set.spec.volumeClaimTemplates ?? []).map((each) => ({
    name: each.metadata?.name ?? "",
    persistentVolumeClaim: { claimName: `${each.metadata?.name}-${name}` },
  }));
  const names = new Set(claimed.map((each) => each.name));
  const others = (pod.spec.volumes ?? []).filter((each) => !names.has(each.name));
  if (claimed.length + others.length > 0) pod.spec.volumes = [...claimed, ...others];
  return pod;
}

function* ensureClaim(
  view: View,
  set: StatefulSet,
  podName: string,
  claimName: string,
  template: PersistentVolumeClaim,
): Plan {
  const { namespace = "" } = set.metadata;
  const existing = view.get(persistentVolumeClaims, namespace, claimName);
  if (existing !== undefined) {
    if (existing.metadata.deletionTimestamp !== undefined) {
      throw new StatusError("Conflict", `pvc ${claimName} is being deleted`);
    }
    return;
  }
  const { labels, annotations } = template.metadata;
  try {
    yield* create(persistentVolumeClaims, {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: {
        name: claimName,
        namespace,
        labels: { ...labels, ...set.spec.selector.matchLabels },
        ...(annotations === undefined ? {} : { annotations }),
      },
      spec: structuredClone(template.spec),
    });
  } catch (error) {
    if (error instanceof StatusError && error.reason === "AlreadyExists") return;
    throw error;
  }
  const message = `create Claim ${claimName} Pod ${podName} in StatefulSet ${set.metadata.name} success`;
  yield* record(set, "Normal", "SuccessfulCreate", message);
}

/** Claims that are to go with the set or with a scaled-down pod are owned by them; others by nobody. */
export function* syncClaimOwners(view: View, set: StatefulSet, members: readonly [number, Pod][]): Plan {
  const policy = set.spec.persistentVolumeClaimRetentionPolicy;
  if (policy === undefined || (set.spec.volumeClaimTemplates ?? []).length === 0) return;
  const start = (set.spec as { ordinals?: { start?: number } }).ordinals?.start ?? 0;
  const end = start + (set.spec.replicas ?? 1);
  for (const [ordinal, pod] of members) {
    const condemned = ordinal < start || ordinal >= end;
    for (const each of set.spec.volumeClaimTemplates ?? []) {
      const claimName = `${each.metadata?.name}-${pod.metadata.name}`;
      const existing = view.get(persistentVolumeClaims, set.metadata.namespace, claimName);
      if (existing === undefined) continue;
      const strangers = (existing.metadata.ownerReferences ?? []).filter(
        (owner) =>
          owner.uid !== set.metadata.uid && !(owner.kind === "Pod" && owner.name === pod.metadata.name),
      );
      const wanted: OwnerReference[] = [...strangers];
      if (policy.whenScaled === "Delete" && condemned) wanted.push(reference("v1", "Pod", pod));
      else if (policy.whenDeleted === "Delete") wanted.push(reference("apps/v1", "StatefulSet", set));
      if (equal(wanted, existing.metadata.ownerReferences ?? [])) continue;
      yield* patch(persistentVolumeClaims, existing, "merge", {
        metadata: { uid: existing.metadata.uid, ownerReferences: wanted },
      });
    }
  }
}

function reference(apiVersion: string, kind: string, { metadata }: Pod | StatefulSet): OwnerReference {
  return {
    apiVersion,
    kind,
    name: metadata.name ?? "",
    uid: metadata.uid ?? "",
    controller: true,
    blockOwnerDeletion: true,
  };
}
