/** The indexes that every view has: what a plan finds without looking at everything. */
import type { KubeObject } from "#kinds/object.ts";
import { controllerOf, orphansOf } from "./owner.ts";

/** "controller": by the uid of the controlling owner, or `orphansOf` their namespace. "owner": by the uid of any owner. "node": pods and volume attachments by node name. "podBlock": nodes by their blocks of pod addresses. */
export const viewIndexes: Readonly<Record<string, (object: KubeObject) => readonly string[]>> = {
  controller(object) {
    const owner = controllerOf(object);
    return [owner?.uid ?? orphansOf(object.metadata.namespace)];
  },
  owner: (object) => (object.metadata.ownerReferences ?? []).map((each) => each.uid),
  podBlock(object) {
    if (object.kind !== "Node") return [];
    const { podCIDR, podCIDRs } = object["spec"] as { podCIDR?: string; podCIDRs?: string[] };
    return podCIDRs ?? (podCIDR === undefined ? [] : [podCIDR]);
  },
  node(object) {
    if (object.kind !== "Pod" && object.kind !== "VolumeAttachment") return [];
    const { nodeName } = object["spec"] as { nodeName?: string };
    return nodeName === undefined || nodeName === "" ? [] : [nodeName];
  },
};
