/**
 * Claims that ask for more than they have. All volumes here belong to external drivers, whose resizers
 * do the work and write the conditions (Resizing, FileSystemResizePending); this says so once per request.
 */
import { on, record, self, splitKey } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { persistentVolumeClaims, persistentVolumes } from "./kubernetes.ts";
import type { PersistentVolumeClaim } from "./kubernetes.ts";
import { quantityValue } from "#kinds/quantity.ts";

export const volumeExpanderController: Controller = {
  name: "volume_expand",
  triggers: [on(persistentVolumeClaims, self, (claim, old) => claim !== undefined && wantsMore(claim, old))],
  reads: [persistentVolumes],
  // It asks for nothing but an event.
  writes: [],
  plan: planExpansion,
};

function* planExpansion(view: View, key: string): Plan {
  const { namespace, name } = splitKey(key);
  const claim = view.get(persistentVolumeClaims, namespace, name);
  if (claim === undefined || claim.status.phase !== "Bound" || requested(claim) <= capacity(claim)) return;
  const volume = view.get(persistentVolumes, undefined, claim.spec.volumeName ?? "");
  if (volume === undefined || volume.spec.claimRef?.uid !== claim.metadata.uid) return;
  // Upstream warns where no plugin of its own knows the volume, which is every volume here.
  yield* record(
    claim,
    "Warning",
    "ExternalExpanding",
    "waiting for an external controller to expand this PVC",
  );
}

/** The request has grown since, or this is the first that is heard of it. */
function wantsMore(claim: PersistentVolumeClaim, old: PersistentVolumeClaim | undefined): boolean {
  return old === undefined || requested(claim) > requested(old);
}

function requested({ spec }: PersistentVolumeClaim): number {
  return quantityValue(spec.resources?.requests?.["storage"] ?? "0");
}

function capacity({ status }: PersistentVolumeClaim): number {
  return quantityValue(status.capacity?.["storage"] ?? "0");
}
