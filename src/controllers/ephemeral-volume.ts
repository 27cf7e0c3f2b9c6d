/** Generic ephemeral volumes: a claim per pod and volume, owned by the pod. */
import { StatusError } from "#base/errors.ts";
import { create, on, record, self, splitKey } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { persistentVolumeClaims, pods } from "./kubernetes.ts";
import type { Pod } from "./kubernetes.ts";
import { controllerReference, isControlledBy } from "./owner.ts";
import { messageOf } from "./pod-control.ts";
import { isPodFinished } from "./pod.ts";

export const ephemeralVolumeController: Controller = {
  name: "ephemeral-volume-controller",
  triggers: [
    on(pods, self, (pod, old) => pod !== undefined && old === undefined && hasEphemeral(pod)),
    on(persistentVolumeClaims, podOfClaim, (claim) => claim === undefined),
  ],
  writes: [persistentVolumeClaims],
  plan: planPod,
};

export function* planPod(view: View, key: string): Plan {
  const { namespace, name } = splitKey(key);
  const pod = view.get(pods, namespace, name);
  if (pod === undefined || pod.metadata.deletionTimestamp !== undefined || isPodFinished(pod)) return;
  for (const volume of pod.spec.volumes ?? []) {
    const template = volume.ephemeral?.volumeClaimTemplate;
    if (template === undefined) continue;
    const claimName = `${name}-${volume.name}`;
    const existing = view.get(persistentVolumeClaims, namespace, claimName);
    if (existing !== undefined) {
      if (!isControlledBy(existing, pod)) {
        throw new StatusError(
          "Conflict",

          `PVC ${namespace}/${claimName} was not created for pod ${namespace}/${name} (pod is not owner)`,
        );
      }
      continue;
    }
    const { labels, annotations } = template.metadata ?? {};
    try {
      yield* create(persistentVolumeClaims, {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        metadata: {
          name: claimName,
          namespace,
          ...(labels === undefined ? {} : { labels }),
          ...(annotations === undefined ? {} : { annotations }),
          ownerReferences: [controllerReference(pods, pod)],
        },
        spec: structuredClone(template.spec),
      });
    } catch (error) {
      const message = `ephemeral volume controller: create PVC ${claimName}: ${messageOf(error)}`;
      yield* record(pod, "Warning", "FailedBinding", message);
      throw error;
    }
  }
}

function hasEphemeral(pod: Pod): boolean {
  return (pod.spec.volumes ?? []).some((each) => each.ephemeral !== undefined);
}

function* podOfClaim(claim: {
  metadata: { namespace?: string; ownerReferences?: { kind: string; name: string }[] };
}): Iterable<string> {
  for (const owner of claim.metadata.ownerReferences ?? []) {
    if (owner.kind === "Pod") yield `${claim.metadata.namespace}/${owner.name}`;
  }
}
