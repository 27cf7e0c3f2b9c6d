/** Which volume a claim may be bound to. */
import { quantityValue } from "#kinds/quantity.ts";
import type { PersistentVolume, PersistentVolumeClaim } from "./kubernetes.ts";
import { selects } from "./selector.ts";

/** The volume reserved for the claim, else the smallest that suffices. `reservedOnly`: no other than a reserved one. */
export function matchVolume(
  claim: PersistentVolumeClaim,
  volumes: readonly PersistentVolume[],
  reservedOnly: boolean,
): PersistentVolume | undefined {
  let best: PersistentVolume | undefined;
  for (const volume of volumes) {
    if (mismatch(volume, claim) !== undefined || volume.metadata.deletionTimestamp !== undefined) continue;
    if (isReservedFor(volume, claim)) return volume;
    if (reservedOnly || volume.spec.claimRef !== undefined || volume.status.phase !== "Available") continue;
    if (claim.spec.selector !== undefined && !selects(claim.spec.selector, volume.metadata.labels)) continue;
    if (best === undefined || sizeOf(volume) < sizeOf(best)) best = volume;
  }
  return best;
}

export function isReservedFor(volume: PersistentVolume, { metadata }: PersistentVolumeClaim): boolean {
  const { name, namespace, uid } = volume.spec.claimRef ?? {};
  return (
    name === metadata.name &&
    namespace === metadata.namespace &&
    (uid === undefined || uid === "" || uid === metadata.uid)
  );
}

/** Why the volume does not satisfy the claim, in upstream's words. */
export function mismatch(volume: PersistentVolume, claim: PersistentVolumeClaim): string | undefined {
  if (sizeOf(volume) < quantityValue(claim.spec.resources?.requests?.["storage"] ?? "0")) {
    return "requested PV is too small";
  }
  if ((volume.spec.storageClassName ?? "") !== classOf(claim)) return "storageClassName does not match";
  if ((volume.spec.volumeMode ?? "Filesystem") !== (claim.spec.volumeMode ?? "Filesystem")) {
    return "incompatible volumeMode";
  }
  const modes = volume.spec.accessModes ?? [];
  if (!(claim.spec.accessModes ?? []).every((mode) => modes.includes(mode))) return "incompatible accessMode";
  return undefined;
}

export function classOf(claim: PersistentVolumeClaim): string {
  return (
    claim.metadata.annotations?.["volume.beta.kubernetes.io/storage-class"] ??
    claim.spec.storageClassName ??
    ""
  );
}

function sizeOf(volume: PersistentVolume): number {
  return quantityValue(volume.spec.capacity?.["storage"] ?? "0");
}
