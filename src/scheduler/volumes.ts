/**
 * The rules about volumes: claims must exist and be bound or bindable on the node, disks that only one
 * pod may use, zones, and how many volumes a node takes. `bindingsFor` is the plan of what to bind once
 * a node is chosen.
 */
import { matchesLabelSelector } from "#kinds/label-selector.ts";
import { quantityValue } from "#kinds/quantity.ts";
import { selectsNode } from "./node-selector.ts";
import type {
  FilterPlugin,
  NodeInfo,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  Snapshot,
} from "./types.ts";

const noProvisioner = "kubernetes.io/no-provisioner";
const zoneLabels = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];
const betaZoneLabels: Record<string, string> = {
  "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
  "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
};

export interface VolumeBindings {
  bind: { claim: PersistentVolumeClaim; volume: PersistentVolume }[];
  provision: PersistentVolumeClaim[];
}

export const volumeRestrictions: FilterPlugin = {
  name: "VolumeRestrictions",
  prepare(pod, snapshot) {
    const namespace = pod.metadata.namespace ?? "";
    const exclusive: string[] = [];
    for (const volume of pod.spec.volumes ?? []) {
      const claimName = volume.persistentVolumeClaim?.claimName;
      if (claimName === undefined) continue;
      const claim = snapshot.claim(namespace, claimName);
      if (claim === undefined) return `persistentvolumeclaim "${claimName}" not found`;
      if (claim.spec.accessModes?.includes("ReadWriteOncePod") === true) exclusive.push(claimName);
    }
    const disks = exclusiveDisks(pod);
    if (exclusive.length === 0 && disks.length === 0) return undefined;
    const usedElsewhere = snapshot.nodes.some((info) => usesClaim(info, namespace, exclusive));
    return {
      filter(info) {
        if (
          disks.some((disk) => info.pods.flatMap(exclusiveDisks).some((other) => disksCollide(disk, other)))
        ) {
          return { reasons: ["node(s) had no available disk"], resolvable: true };
        }
        if (!usedElsewhere) return undefined;
        const reason =
          "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";
        return { reasons: [reason], resolvable: true };
      },
    };
  },
};

export const nodeVolumeLimits: FilterPlugin = {
  name: "NodeVolumeLimits",
  prepare(pod, snapshot) {
    const wanted = csiVolumes(pod, snapshot);
    if (wanted.size === 0) return undefined;
    return {
      filter(info) {
        const drivers = snapshot.csiNode(info.name)?.spec.drivers ?? [];
        for (const { name, allocatable } of drivers) {
          if (allocatable?.count === undefined) continue;
          const used = new Set<string>();
          const count = (volumes: Map<string, string>): void => {
            for (const [volume, driver] of volumes) if (driver === name) used.add(volume);
          };
          for (const other of info.pods) count(csiVolumes(other, snapshot));
          const before = used.size;
          count(wanted);
          if (used.size > before && used.size > allocatable.count) {
            return { reasons: ["node(s) exceed max volume count"], resolvable: true };
          }
        }
        return undefined;
      },
    };
  },
};

export const volumeBinding: FilterPlugin = {
  name: "VolumeBinding",
  prepare(pod, snapshot) {
    const claims = claimsOf(pod, snapshot);
    if (typeof claims === "string") return claims;
    if (claims.length === 0) return undefined;
    const sorted = sortClaims(claims, snapshot);
    if (sorted.immediate.length > 0) return "pod has unbound immediate PersistentVolumeClaims";
    return {
      filter(info) {
        const reasons: string[] = [];
        for (const claim of sorted.bound) {
          const volume = snapshot.volume(claim.spec.volumeName ?? "");
          if (volume === undefined) {
            return {
              reasons: ["node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"],
              resolvable: false,
            };
          }
          if (!isReachable(volume, info)) reasons.push("node(s) had volume node affinity conflict");
        }
        if (reasons.length === 0 && bindDelayed(sorted.delayed, info, snapshot) === undefined) {
          reasons.push("node(s) didn't find available persistent volumes to bind");
        }
        return reasons.length === 0 ? undefined : { reasons: [...new Set(reasons)], resolvable: false };
      },
    };
  },
};

export const volumeZone: FilterPlugin = {
  name: "VolumeZone",
  prepare(pod, snapshot) {
    const claims = claimsOf(pod, snapshot);
    if (typeof claims === "string") return claims;
    const wanted: [label: string, values: string[]][] = [];
    for (const claim of claims) {
      const volume = snapshot.volume(claim.spec.volumeName ?? "");
      for (const [label, value] of Object.entries(volume?.metadata.labels ?? {})) {
        const current = betaZoneLabels[label] ?? label;
        if (zoneLabels.includes(current)) wanted.push([current, value.split("__")]);
      }
    }
    if (wanted.length === 0) return undefined;
    return {
      filter({ node }) {
        const labels = node.metadata.labels ?? {};
        if (!zoneLabels.some((label) => labels[label] !== undefined)) return undefined;
        if (wanted.every(([label, values]) => values.includes(labels[label] ?? ""))) return undefined;
        return { reasons: ["node(s) had no available volume zone"], resolvable: false };
      },
    };
  },
};

/** What has to be bound or provisioned for the pod on this node. */
export function bindingsFor(pod: Pod, info: NodeInfo, snapshot: Snapshot): VolumeBindings {
  const claims = claimsOf(pod, snapshot);
  if (typeof claims === "string") return { bind: [], provision: [] };
  return bindDelayed(sortClaims(claims, snapshot).delayed, info, snapshot) ?? { bind: [], provision: [] };
}

/** The smallest volume that satisfies the claim, the one reserved for it first. Also used for immediate binding. */
export function findVolume(
  claim: PersistentVolumeClaim,
  volumes: readonly PersistentVolume[],
  fits: (volume: PersistentVolume) => boolean,
): PersistentVolume | undefined {
  const { namespace, name, uid } = claim.metadata;
  let best: PersistentVolume | undefined;
  for (const volume of volumes) {
    const reserved = volume.spec.claimRef;
    const isForClaim =
      reserved?.name === name &&
      reserved?.namespace === namespace &&
      (reserved?.uid === undefined || reserved.uid === uid);
    if (reserved !== undefined && !isForClaim) continue;
    if (!satisfies(volume, claim) || !fits(volume)) continue;
    if (isForClaim) return volume;
    if (volume.status.phase !== "Available" || !hasSelectedLabels(volume, claim)) continue;
    if (best === undefined || sizeOf(volume) < sizeOf(best)) best = volume;
  }
  return best;
}

function hasSelectedLabels(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  return (
    claim.spec.selector === undefined || matchesLabelSelector(claim.spec.selector, volume.metadata.labels)
  );
}

function satisfies(volume: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  if (volume.metadata.deletionTimestamp !== undefined) return false;
  if ((volume.spec.volumeMode ?? "Filesystem") !== (claim.spec.volumeMode ?? "Filesystem")) return false;
  if ((volume.spec.storageClassName ?? "") !== (claim.spec.storageClassName ?? "")) return false;
  if (!(claim.spec.accessModes ?? []).every((mode) => volume.spec.accessModes?.includes(mode) === true))
    return false;
  return sizeOf(volume) >= quantityValue(claim.spec.resources?.requests?.["storage"] ?? "0");
}

function sizeOf(volume: PersistentVolume): number {
  return quantityValue(volume.spec.capacity?.["storage"] ?? "0");
}

/** The pod's claims; a string when one of them makes the pod unschedulable everywhere. */
function claimsOf(pod: Pod, snapshot: Snapshot): PersistentVolumeClaim[] | string {
  const namespace = pod.metadata.namespace ?? "";
  const claims: PersistentVolumeClaim[] = [];
  for (const volume of pod.spec.volumes ?? []) {
    const isEphemeral = volume.ephemeral !== undefined;
    const name = isEphemeral
      ? `${pod.metadata.name}-${volume.name}`
      : volume.persistentVolumeClaim?.claimName;
    if (name === undefined) continue;
    const claim = snapshot.claim(namespace, name);
    if (claim === undefined) {
      return isEphemeral
        ? `waiting for ephemeral volume controller to create the persistentvolumeclaim "${name}"`
        : `persistentvolumeclaim "${name}" not found`;
    }
    if (claim.status.phase === "Lost") {
      return `persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${claim.spec.volumeName ?? ""}"`;
    }
    if (claim.metadata.deletionTimestamp !== undefined)
      return `persistentvolumeclaim "${name}" is being deleted`;
    if (isEphemeral && !claim.metadata.ownerReferences?.some((each) => each.uid === pod.metadata.uid)) {
      return `PVC ${namespace}/${name} was not created for pod ${namespace}/${pod.metadata.name} (pod is not owner)`;
    }
    claims.push(claim);
  }
  return claims;
}

function sortClaims(
  claims: readonly PersistentVolumeClaim[],
  snapshot: Snapshot,
): Record<"bound" | "delayed" | "immediate", PersistentVolumeClaim[]> {
  const sorted = { bound: [], delayed: [], immediate: [] } as ReturnType<typeof sortClaims>;
  for (const claim of claims) {
    const isBound =
      (claim.spec.volumeName ?? "") !== "" &&
      claim.metadata.annotations?.["pv.kubernetes.io/bind-completed"] !== undefined;
    const storageClass = snapshot.storageClass(claim.spec.storageClassName ?? "");
    const waits =
      storageClass?.volumeBindingMode === "WaitForFirstConsumer" && (claim.spec.volumeName ?? "") === "";
    sorted[isBound ? "bound" : waits ? "delayed" : "immediate"].push(claim);
  }
  return sorted;
}

/** Undefined when some claim finds neither a volume nor a provisioner for this node. */
function bindDelayed(
  claims: readonly PersistentVolumeClaim[],
  info: NodeInfo,
  snapshot: Snapshot,
): VolumeBindings | undefined {
  const bindings: VolumeBindings = { bind: [], provision: [] };
  const taken = new Set<string | undefined>();
  const bySize = [...claims].sort(
    (a, b) =>
      quantityValue(a.spec.resources?.requests?.["storage"] ?? "0") -
      quantityValue(b.spec.resources?.requests?.["storage"] ?? "0"),
  );
  for (const claim of bySize) {
    const className = claim.spec.storageClassName ?? "";
    const volume = findVolume(
      claim,
      snapshot.volumesOfClass(className),
      (each) => !taken.has(each.metadata.name) && isReachable(each, info),
    );
    if (volume !== undefined) {
      taken.add(volume.metadata.name);
      bindings.bind.push({ claim, volume });
      continue;
    }
    const storageClass = snapshot.storageClass(className);
    if (storageClass === undefined || storageClass.provisioner === noProvisioner) return undefined;
    const topologies = storageClass.allowedTopologies ?? [];
    const labels = info.node.metadata.labels ?? {};
    const allowed = topologies.some((term) =>
      (term.matchLabelExpressions ?? []).every((each) => each.values.includes(labels[each.key] ?? "")),
    );
    if (topologies.length > 0 && !allowed) return undefined;
    bindings.provision.push(claim);
  }
  return bindings;
}

function isReachable(volume: PersistentVolume, { node }: NodeInfo): boolean {
  const required = volume.spec.nodeAffinity?.required;
  return required === undefined || selectsNode(required, node);
}

function usesClaim({ pods }: NodeInfo, namespace: string, claimNames: readonly string[]): boolean {
  return pods.some(
    (pod) =>
      pod.metadata.namespace === namespace &&
      (pod.spec.volumes ?? []).some((each) =>
        claimNames.includes(each.persistentVolumeClaim?.claimName ?? ""),
      ),
  );
}

interface Disk {
  id: string;
  readOnly: boolean;
}

/** Disks that the old in-tree drivers attach to one node or pod at a time. */
function exclusiveDisks(pod: Pod): Disk[] {
  return (pod.spec.volumes ?? []).flatMap((volume) => {
    const { gcePersistentDisk: gce, awsElasticBlockStore: aws, iscsi, rbd } = volume;
    if (gce !== undefined) return [{ id: `gce/${gce.pdName}`, readOnly: gce.readOnly === true }];
    if (aws !== undefined) return [{ id: `aws/${aws.volumeID}`, readOnly: false }];
    if (iscsi !== undefined)
      return [{ id: `iscsi/${iscsi.iqn}/${iscsi.lun}`, readOnly: iscsi.readOnly === true }];
    if (rbd !== undefined) {
      return rbd.monitors.map((monitor) => ({
        id: `rbd/${monitor}/${rbd.pool ?? "rbd"}/${rbd.image}`,
        readOnly: rbd.readOnly === true,
      }));
    }
    return [];
  });
}

function disksCollide(a: Disk, b: Disk): boolean {
  return a.id === b.id && !(a.readOnly && b.readOnly);
}

/** Driver by volume handle. */
function csiVolumes(pod: Pod, snapshot: Snapshot): Map<string, string> {
  const found = new Map<string, string>();
  for (const volume of pod.spec.volumes ?? []) {
    const name =
      volume.ephemeral === undefined
        ? volume.persistentVolumeClaim?.claimName
        : `${pod.metadata.name}-${volume.name}`;
    if (name === undefined) continue;
    const claim = snapshot.claim(pod.metadata.namespace ?? "", name);
    const csi = snapshot.volume(claim?.spec.volumeName ?? "")?.spec.csi;
    if (csi !== undefined) found.set(`${csi.driver}/${csi.volumeHandle}`, csi.driver);
  }
  return found;
}
