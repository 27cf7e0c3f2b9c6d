/**
 * Binds claims to volumes and keeps both sides' phases true. A binding is written in four steps (volume,
 * its phase, claim, its phase), each of which can be repeated, so that an interrupted one is completed.
 * Volumes are made and deleted by external provisioners only.
 */
import { keyOf, on, record, self, splitKey, update, updateStatus } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { equal } from "./equality.ts";
import { persistentVolumeClaims, persistentVolumes, pods, storageClasses } from "./kubernetes.ts";
import type { PersistentVolume, PersistentVolumeClaim, Pod } from "./kubernetes.ts";
import { timestamp } from "./pod.ts";
import { classOf, isReservedFor, matchVolume, mismatch } from "./volume-matching.ts";

const bindCompleted = "pv.kubernetes.io/bind-completed";
const boundByController = "pv.kubernetes.io/bound-by-controller";
const selectedNode = "volume.kubernetes.io/selected-node";
const storageProvisioner = "volume.kubernetes.io/storage-provisioner";
const betaStorageProvisioner = "volume.beta.kubernetes.io/storage-provisioner";
const noProvisioner = "kubernetes.io/no-provisioner";

export const volumeBinderController: Controller = {
  name: "persistentvolume-controller",
  triggers: [
    on(persistentVolumeClaims, (claim) =>
      [keyOf(claim), claim.spec.volumeName ?? ""].filter((key) => key !== ""),
    ),
    on(persistentVolumes, keysOfVolume),
    on(storageClasses, waitingClaims),
    on(pods, claimsOfPod, (pod, old) => pod?.spec.nodeName !== old?.spec.nodeName),
  ],
  writes: [persistentVolumeClaims, persistentVolumes],
  // Two claims must not take the same volume: one after the other, each sees what the one before did.
  concurrency: 1,
  plan: planKey,
};

/** "namespace/name" is a claim, "name" a volume. */
function* planKey(view: View, key: string, nowMs: number): Plan {
  const { namespace, name } = splitKey(key);
  if (namespace === "") {
    const volume = view.get(persistentVolumes, undefined, name);
    if (volume !== undefined) yield* planVolume(view, volume, nowMs);
    return;
  }
  const claim = view.get(persistentVolumeClaims, namespace, name);
  if (claim === undefined) return;
  if (claim.metadata.annotations?.[bindCompleted] !== undefined) yield* keepBound(view, claim, nowMs);
  else if ((claim.spec.volumeName ?? "") === "") yield* findVolume(view, claim, nowMs);
  else yield* bindRequested(view, claim, nowMs);
}

function* findVolume(view: View, claim: PersistentVolumeClaim, nowMs: number): Plan {
  const className = classOf(claim);
  const storageClass = view.get(storageClasses, undefined, className);
  const delayed =
    storageClass?.volumeBindingMode === "WaitForFirstConsumer" &&
    claim.metadata.annotations?.[selectedNode] === undefined;
  const volume = matchVolume(claim, view.list(persistentVolumes), delayed);
  if (volume !== undefined) {
    yield* bind(volume, claim, nowMs);
    return;
  }
  if (delayed) {
    const consumer = view.list(pods, claim.metadata.namespace).find((pod) => uses(pod, claim));
    if (consumer === undefined) {
      yield* record(
        claim,
        "Normal",
        "WaitForFirstConsumer",
        "waiting for first consumer to be created before binding",
      );
    } else {
      const message = `waiting for pod ${consumer.metadata.name} to be scheduled`;
      yield* record(claim, "Normal", "WaitForPodScheduled", message);
    }
  } else if (className === "") {
    const message = "no persistent volumes available for this claim and no storage class is set";
    yield* record(claim, "Normal", "FailedBinding", message);
  } else if (storageClass === undefined) {
    const message = `storageclass.storage.k8s.io "${className}" not found`;
    yield* record(claim, "Warning", "ProvisioningFailed", message);
  } else if (storageClass.provisioner.startsWith("kubernetes.io/")) {
    const message = `no volume plugin matched name: ${storageClass.provisioner}`;
    yield* record(claim, "Warning", "ProvisioningFailed", message);
  } else if (storageClass.provisioner !== noProvisioner) {
    yield* askProvisioner(claim, storageClass.provisioner);
    return;
  }
  yield* setClaimPhase(claim, { phase: "Pending" });
}

function* askProvisioner(claim: PersistentVolumeClaim, provisioner: string): Plan {
  const annotations = {
    ...claim.metadata.annotations,
    [storageProvisioner]: provisioner,
    [betaStorageProvisioner]: provisioner,
  };
  if (!equal(annotations, claim.metadata.annotations)) {
    yield* update(persistentVolumeClaims, { ...claim, metadata: { ...claim.metadata, annotations } });
  }
  const message = `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`;
  yield* record(claim, "Normal", "ExternalProvisioning", message);
}

/** The user named the volume. */
function* bindRequested(view: View, claim: PersistentVolumeClaim, nowMs: number): Plan {
  const name = claim.spec.volumeName ?? "";
  const volume = view.get(persistentVolumes, undefined, name);
  if (volume === undefined) {
    yield* setClaimPhase(claim, { phase: "Pending" });
    return;
  }
  if (volume.spec.claimRef !== undefined && !isReservedFor(volume, claim)) {
    yield* record(claim, "Warning", "FailedBinding", `volume "${name}" already bound to a different claim.`);
    yield* setClaimPhase(claim, { phase: "Pending" });
    return;
  }
  const problem = volume.spec.claimRef === undefined ? mismatch(volume, claim) : undefined;
  if (problem !== undefined) {
    yield* record(
      claim,
      "Warning",
      "VolumeMismatch",
      `Cannot bind to requested volume "${name}": ${problem}`,
    );
    yield* setClaimPhase(claim, { phase: "Pending" });
    return;
  }
  yield* bind(volume, claim, nowMs);
}

function* keepBound(view: View, claim: PersistentVolumeClaim, nowMs: number): Plan {
  const volume = view.get(persistentVolumes, undefined, claim.spec.volumeName ?? "");
  if (volume === undefined) {
    if (claim.status.phase !== "Lost") {
      const lost =
        (claim.spec.volumeName ?? "") === ""
          ? "lost reference to PersistentVolume"
          : "lost its PersistentVolume";
      yield* record(claim, "Warning", "ClaimLost", `Bound claim has ${lost}. Data on the volume is lost!`);
    }
    yield* setClaimPhase(claim, { phase: "Lost" });
    return;
  }
  if (volume.spec.claimRef === undefined || isReservedFor(volume, claim)) {
    yield* bind(volume, claim, nowMs);
    return;
  }
  if (claim.status.phase !== "Lost") {
    const message = "Two claims are bound to the same volume, this one is bound incorrectly";
    yield* record(claim, "Warning", "ClaimMisbound", message);
  }
  yield* setClaimPhase(claim, { phase: "Lost" });
}

function* bind(volume: PersistentVolume, claim: PersistentVolumeClaim, nowMs: number): Plan {
  const bound = yield* bindVolume(volume, claim);
  yield* setVolumePhase(bound, "Bound", nowMs);
  const named = yield* bindClaim(claim, bound);
  const { accessModes, capacity } = bound.spec;
  yield* setClaimPhase(named, {
    phase: "Bound",
    ...(accessModes === undefined ? {} : { accessModes }),
    ...(capacity?.["storage"] === undefined ? {} : { capacity: { storage: capacity["storage"] } }),
  });
}

function* bindVolume(volume: PersistentVolume, claim: PersistentVolumeClaim): Plan<PersistentVolume> {
  const { namespace, name, uid, resourceVersion } = claim.metadata;
  if (volume.spec.claimRef?.uid === uid) return volume;
  const reserved = volume.spec.claimRef !== undefined;
  const annotations = { ...volume.metadata.annotations, ...(reserved ? {} : { [boundByController]: "yes" }) };
  const claimRef = { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name, uid, resourceVersion };
  return yield* update(persistentVolumes, {
    ...volume,
    metadata: { ...volume.metadata, annotations },
    spec: { ...volume.spec, claimRef } as PersistentVolume["spec"],
  });
}

function* bindClaim(claim: PersistentVolumeClaim, volume: PersistentVolume): Plan<PersistentVolumeClaim> {
  const volumeName = volume.metadata.name ?? "";
  const isNamed = claim.spec.volumeName === volumeName;
  if (isNamed && claim.metadata.annotations?.[bindCompleted] !== undefined) return claim;
  const annotations = {
    ...claim.metadata.annotations,
    [bindCompleted]: "yes",
    ...(isNamed ? {} : { [boundByController]: "yes" }),
  };
  return yield* update(persistentVolumeClaims, {
    ...claim,
    metadata: { ...claim.metadata, annotations },
    spec: { ...claim.spec, volumeName },
  });
}

function* planVolume(view: View, volume: PersistentVolume, nowMs: number): Plan {
  const { claimRef } = volume.spec;
  if (claimRef === undefined || claimRef.uid === undefined || claimRef.uid === "") {
    yield* setVolumePhase(volume, "Available", nowMs);
    return;
  }
  const claim = view.get(persistentVolumeClaims, claimRef.namespace, claimRef.name ?? "");
  if (claim === undefined || claim.metadata.uid !== claimRef.uid) {
    yield* setVolumePhase(volume, "Released", nowMs);
    return;
  }
  if ((claim.spec.volumeName ?? "") === "") return; // The claim's own plan completes the binding.
  if (claim.spec.volumeName === volume.metadata.name) {
    yield* setVolumePhase(volume, "Bound", nowMs);
    return;
  }
  if (volume.metadata.annotations?.[boundByController] === undefined) return;
  // We had begun to bind this one, but the claim went elsewhere.
  const { [boundByController]: _, ...annotations } = volume.metadata.annotations;
  const { claimRef: __, ...spec } = volume.spec;
  const freed = yield* update(persistentVolumes, {
    ...volume,
    metadata: { ...volume.metadata, annotations },
    spec: spec as PersistentVolume["spec"],
  });
  yield* setVolumePhase(freed, "Available", nowMs);
}

function* setVolumePhase(volume: PersistentVolume, phase: string, nowMs: number): Plan {
  if (volume.status.phase === phase) return;
  const status = { ...volume.status, phase, lastPhaseTransitionTime: timestamp(nowMs) };
  yield* updateStatus(persistentVolumes, { ...volume, status } as unknown as PersistentVolume);
}

function* setClaimPhase(claim: PersistentVolumeClaim, wanted: object): Plan {
  const status = { ...claim.status, ...wanted };
  if (equal(status, claim.status)) return;
  yield* updateStatus(persistentVolumeClaims, { ...claim, status } as PersistentVolumeClaim);
}

function* keysOfVolume(volume: PersistentVolume, view: View): Iterable<string> {
  yield* self(volume);
  const { claimRef } = volume.spec;
  if (claimRef !== undefined) yield `${claimRef.namespace}/${claimRef.name}`;
  if (volume.status.phase === "Available") yield* waitingClaims(volume, view);
}

function* waitingClaims(_object: object, view: View): Iterable<string> {
  for (const claim of view.list(persistentVolumeClaims)) {
    if (claim.metadata.annotations?.[bindCompleted] === undefined) yield keyOf(claim);
  }
}

function* claimsOfPod(pod: Pod): Iterable<string> {
  for (const { persistentVolumeClaim } of pod.spec.volumes ?? []) {
    if (persistentVolumeClaim !== undefined)
      yield `${pod.metadata.namespace}/${persistentVolumeClaim.claimName}`;
  }
}

function uses(pod: Pod, { metadata }: PersistentVolumeClaim): boolean {
  return (pod.spec.volumes ?? []).some((each) => each.persistentVolumeClaim?.claimName === metadata.name);
}
