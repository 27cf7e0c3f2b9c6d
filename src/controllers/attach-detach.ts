/**
 * Volumes of external (CSI) drivers are attached to the nodes of the pods that use them, and detached when
 * no pod does: as VolumeAttachment objects, which the driver's attacher carries out and reports on, and in
 * `node.status.volumesAttached`. Only for nodes that leave this to the control plane (the annotation), and
 * drivers that need it (`CSIDriver.spec.attachRequired`). Volumes without a PersistentVolume, and volumes of
 * upstream's built-in cloud providers, are not attached: nothing here could.
 */
import { StatusError } from "#base/errors.ts";
import { create, digest, on, patch, record, remove, requeueAfter, self } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { equal } from "./equality.ts";
import {
  csiDrivers,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  volumeAttachments,
} from "./kubernetes.ts";
import type { Node, PersistentVolume, Pod, VolumeAttachment } from "./kubernetes.ts";
import { isPodFinished } from "./pod.ts";
import { claimsOfPod } from "./pod-claims.ts";

const managedAnnotation = "volumes.kubernetes.io/controller-managed-attach-detach";
const outOfServiceTaint = "node.kubernetes.io/out-of-service";
/** An unhealthy node keeps a volume that no pod uses for no longer, even if it says that it uses it. */
const unmountLimitMs = 360_000;

interface Wish {
  volume: PersistentVolume;
  pods: Pod[];
}

export function attachDetachController(): Controller {
  /** Since when an attachment is wanted by nobody, by its name. */
  const idleSince = new Map<string, number>();
  return {
    name: "attachdetach-controller",
    triggers: [
      on(nodes, self, nodeMatters),
      on(
        pods,
        ({ spec }) => (spec.nodeName === undefined ? [] : [spec.nodeName]),
        (pod, old) =>
          pod?.spec.nodeName !== old?.spec.nodeName ||
          (pod !== undefined && old !== undefined && isPodFinished(pod) !== isPodFinished(old)),
      ),
      on(
        persistentVolumeClaims,
        nodesOfClaim,
        (claim, old) => claim?.spec.volumeName !== old?.spec.volumeName,
      ),
      on(volumeAttachments, nodesOfAttachment),
    ],
    reads: [persistentVolumes, csiDrivers],
    writes: [volumeAttachments, nodes],
    plan: (view, key, nowMs) => planNode(view, key, nowMs, idleSince),
  };
}

function* planNode(view: View, key: string, nowMs: number, idleSince: Map<string, number>): Plan {
  const node = view.get(nodes, undefined, key);
  const existing = view.byIndex(volumeAttachments, "node", key);
  const isManaged = node === undefined || node.metadata.annotations?.[managedAnnotation] === "true";
  if (!isManaged) return;
  const wishes = wishesOf(view, key);
  const present = new Map(existing.map((each) => [each.spec.source.persistentVolumeName ?? "", each]));
  for (const [name, wish] of node === undefined ? [] : wishes) {
    const attachment = present.get(name);
    if (attachment === undefined) yield* attach(view, key, wish);
    else yield* tell(attachment, wish, node);
  }
  const idle = existing.filter((each) => {
    const isWanted = wishes.has(each.spec.source.persistentVolumeName ?? "");
    if (isWanted) idleSince.delete(each.metadata.name ?? "");
    return !isWanted && each.metadata.deletionTimestamp === undefined;
  });
  const leaving: VolumeAttachment[] = [];
  for (const attachment of idle) {
    const name = attachment.metadata.name ?? "";
    const sinceMs = idleSince.get(name) ?? nowMs;
    const leftMs = detachableInMs(view, attachment, node, sinceMs, nowMs);
    if (leftMs > 0) {
      idleSince.set(name, sinceMs);
      yield* requeueAfter(leftMs);
    } else {
      idleSince.delete(name);
      leaving.push(attachment);
    }
  }
  // The node must know that a volume goes before it does.
  yield* report(
    view,
    node,
    existing.filter((each) => !leaving.includes(each)),
  );
  for (const attachment of leaving) yield* remove(volumeAttachments, attachment);
}

/** The volumes that pods on the node use and that have to be attached, by name. */
function wishesOf(view: View, nodeName: string): Map<string, Wish> {
  const wishes = new Map<string, Wish>();
  for (const pod of view.byIndex(pods, "node", nodeName)) {
    if (isPodFinished(pod)) continue;
    for (const claimName of claimsOfPod(pod)) {
      const claim = view.get(persistentVolumeClaims, pod.metadata.namespace, claimName);
      const volume = view.get(persistentVolumes, undefined, claim?.spec.volumeName ?? "");
      if (claim === undefined || volume === undefined) continue;
      if (volume.spec.claimRef?.uid !== claim.metadata.uid || !needsAttachment(view, volume)) continue;
      const name = volume.metadata.name ?? "";
      const known = wishes.get(name);
      if (known === undefined) wishes.set(name, { volume, pods: [pod] });
      else known.pods.push(pod);
    }
  }
  return wishes;
}

/** A driver without CSIDriver object is taken to need it, as upstream does. */
function needsAttachment(view: View, { spec }: PersistentVolume): boolean {
  if (spec.csi === undefined) return false;
  return view.get(csiDrivers, undefined, spec.csi.driver)?.spec.attachRequired !== false;
}

function* attach(view: View, nodeName: string, { volume, pods: users }: Wish): Plan {
  const name = volume.metadata.name ?? "";
  const elsewhere = view
    .list(volumeAttachments)
    .filter((each) => each.spec.source.persistentVolumeName === name && each.spec.nodeName !== nodeName);
  if (elsewhere.length > 0 && !allowsManyNodes(volume)) {
    yield* tellExclusive(view, volume, users, elsewhere);
    return;
  }
  const { driver = "", volumeHandle = "" } = volume.spec.csi ?? {};
  try {
    yield* create(volumeAttachments, {
      apiVersion: "storage.k8s.io/v1",
      kind: "VolumeAttachment",
      metadata: { name: `csi-${yield* digest(volumeHandle + driver + nodeName, "hex")}` },
      spec: { attacher: driver, nodeName, source: { persistentVolumeName: name } },
    });
  } catch (error) {
    if (!(error instanceof StatusError && error.reason === "AlreadyExists")) throw error;
  }
}

function allowsManyNodes({ spec }: PersistentVolume): boolean {
  const modes = spec.accessModes ?? [];
  return modes.length === 0 || modes.includes("ReadWriteMany") || modes.includes("ReadOnlyMany");
}

function* tellExclusive(
  view: View,
  volume: PersistentVolume,
  users: readonly Pod[],
  elsewhere: readonly VolumeAttachment[],
): Plan {
  const start = `Multi-Attach error for volume "${volume.metadata.name}" Volume is already`;
  const others = elsewhere.flatMap(
    ({ spec }) => wishesOf(view, spec.nodeName).get(volume.metadata.name ?? "")?.pods ?? [],
  );
  for (const pod of users) {
    const { namespace } = pod.metadata;
    const known = others
      .filter((each) => each.metadata.namespace === namespace)
      .map((each) => each.metadata.name);
    const hidden = others.length - known.length;
    const list = known.join(", ") + (hidden === 0 ? "" : ` and ${hidden} pod(s) in different namespaces`);
    const message =
      others.length === 0
        ? `${start} exclusively attached to one node and can't be attached to another`
        : `${start} used by ${known.length === 0 ? `${hidden} pod(s) in different namespaces` : `pod(s) ${list}`}`;
    yield* record(pod, "Warning", "FailedAttachVolume", message);
  }
}

/** What the attacher has reported is told where people look: in events of the pods. */
function* tell(attachment: VolumeAttachment, { volume, pods: users }: Wish, node: Node | undefined): Plan {
  const name = JSON.stringify(volume.metadata.name);
  const { attached, attachError } = attachment.status;
  const isNews = !(node?.status.volumesAttached ?? []).some((each) => each.name === uniqueName(volume));
  for (const pod of users) {
    if (attached && isNews)
      yield* record(
        pod,
        "Normal",
        "SuccessfulAttachVolume",
        `AttachVolume.Attach succeeded for volume ${name} `,
      );
    else if (!attached && attachError !== undefined)
      yield* record(
        pod,
        "Warning",
        "FailedAttachVolume",
        `AttachVolume.Attach failed for volume ${name} : ${attachError.message ?? ""}`,
      );
  }
}

/** How long the node may still need the volume, milliseconds. */
function detachableInMs(
  view: View,
  attachment: VolumeAttachment,
  node: Node | undefined,
  sinceMs: number,
  nowMs: number,
): number {
  const volume = view.get(persistentVolumes, undefined, attachment.spec.source.persistentVolumeName ?? "");
  if (node === undefined || volume === undefined) return 0;
  if (!(node.status.volumesInUse ?? []).includes(uniqueName(volume))) return 0;
  if ((node.spec.taints ?? []).some((each) => each.key === outOfServiceTaint)) return 0;
  const ready = (node.status.conditions ?? []).find((each) => each.type === "Ready");
  const leftMs = Math.max(0, sinceMs + unmountLimitMs - nowMs);
  // A healthy node is waited for as long as it takes; it reports when it is done.
  return ready?.status === "True" ? Math.max(leftMs, unmountLimitMs) : leftMs;
}

/** Writes which volumes are attached into the node's status. */
function* report(view: View, node: Node | undefined, attachments: readonly VolumeAttachment[]): Plan {
  if (node === undefined) return;
  const volumesAttached = attachments
    .filter(({ status }) => status.attached)
    .map(({ spec }) => view.get(persistentVolumes, undefined, spec.source.persistentVolumeName ?? ""))
    .filter((volume) => volume !== undefined)
    .map((volume) => ({ name: uniqueName(volume), devicePath: "" }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  if (equal(node.status.volumesAttached ?? [], volumesAttached)) return;
  yield* patch(nodes, node, "merge", { status: { volumesAttached } }, "status");
}

/** How a node and the control plane name a volume to each other. */
function uniqueName({ spec }: PersistentVolume): string {
  return `kubernetes.io/csi/${spec.csi?.driver}^${spec.csi?.volumeHandle}`;
}

function nodeMatters(node: Node | undefined, old: Node | undefined): boolean {
  return (
    node === undefined ||
    old === undefined ||
    !equal(node.status.volumesInUse, old.status.volumesInUse) ||
    !equal(node.status.volumesAttached, old.status.volumesAttached) ||
    !equal(node.spec.taints, old.spec.taints) ||
    node.metadata.annotations?.[managedAnnotation] !== old.metadata.annotations?.[managedAnnotation]
  );
}

/** Its node, and the nodes where pods wait for the volume to leave it. */
function* nodesOfAttachment({ spec }: VolumeAttachment, view: View): Iterable<string> {
  yield spec.nodeName;
  const volume = view.get(persistentVolumes, undefined, spec.source.persistentVolumeName ?? "");
  const { namespace, name } = volume?.spec.claimRef ?? {};
  if (name !== undefined) yield* nodesUsing(view, namespace, name);
}

function nodesOfClaim(
  { metadata }: { metadata: { namespace?: string; name?: string } },
  view: View,
): Iterable<string> {
  return nodesUsing(view, metadata.namespace, metadata.name ?? "");
}

function* nodesUsing(view: View, namespace: string | undefined, claimName: string): Iterable<string> {
  for (const pod of view.list(pods, namespace)) {
    if (pod.spec.nodeName !== undefined && [...claimsOfPod(pod)].includes(claimName)) yield pod.spec.nodeName;
  }
}
