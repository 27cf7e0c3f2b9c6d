/** Claims in use by pods and volumes bound to claims are not deleted under them: finalizers hold them. */
import { keyOf, on, patch, self, splitKey } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { persistentVolumeClaims, persistentVolumes, pods } from "./kubernetes.ts";
import type { Pod, Resource } from "./kubernetes.ts";
import { claimsOfPod } from "./pod-claims.ts";
import type { KubeObject } from "#kinds/object.ts";

const claimFinalizer = "kubernetes.io/pvc-protection";
const volumeFinalizer = "kubernetes.io/pv-protection";

export const claimProtectionController: Controller = {
  name: "pvc-protection-controller",
  triggers: [
    on(persistentVolumeClaims, self),
    on(pods, claimsOf, (pod, old) => pod === undefined || old === undefined),
  ],
  writes: [persistentVolumeClaims],
  *plan(view, key) {
    const { namespace, name } = splitKey(key);
    const claim = view.get(persistentVolumeClaims, namespace, name);
    if (claim === undefined) return;
    const inUse = (): boolean =>
      view.list(pods, namespace).some((pod) => [...claimsOf(pod)].includes(keyOf(claim)));
    yield* protect(persistentVolumeClaims as unknown as Resource, claim, claimFinalizer, inUse);
  },
};

export const volumeProtectionController: Controller = {
  name: "pv-protection-controller",
  triggers: [on(persistentVolumes, self)],
  writes: [persistentVolumes],
  *plan(view: View, key: string) {
    const volume = view.get(persistentVolumes, undefined, key);
    if (volume === undefined) return;
    const inUse = (): boolean => volume.status.phase === "Bound";
    yield* protect(persistentVolumes as unknown as Resource, volume, volumeFinalizer, inUse);
  },
};

function* protect(resource: Resource, object: KubeObject, finalizer: string, inUse: () => boolean): Plan {
  const { uid, resourceVersion, deletionTimestamp } = object.metadata;
  const finalizers = object.metadata.finalizers ?? [];
  const held = finalizers.includes(finalizer);
  if (deletionTimestamp === undefined ? held : !held || inUse()) return;
  const next = held ? finalizers.filter((each) => each !== finalizer) : [...finalizers, finalizer];
  yield* patch(resource, object, "merge", { metadata: { uid, resourceVersion, finalizers: next } });
}

function* claimsOf(pod: Pod): Iterable<string> {
  for (const name of claimsOfPod(pod)) yield `${pod.metadata.namespace}/${name}`;
}
