/** The indexes that every view has. */
import type { KubeObject } from "#kinds/object.ts";
import { controllerOf } from "./owner.ts";

/** "controller": by the uid of the controlling owner. "owner": by the uid of any owner. "node": pods by node name. "podBlock": nodes by their blocks of pod addresses. */
export const viewIndexes: Readonly<Record<string, (object: KubeObject) => readonly string[]>> = {
  controller(object) {
    const owner = controllerOf(object);
    return owner === undefined ? [] : [owner.uid];
  },
  owner: (object) => (object.metadata.ownerReferences ?? []).map((each) => each.uid),
  podBlock(object) {
    if (object.kind !== "Node") return [];
    const { podCIDR, podCIDRs } = object["spec"] as { podCIDR?: string; podCIDRs?: string[] };
    return podCIDRs ?? (podCIDR === undefined ? [] : [podCIDR]);
  },
  node(object) {
    if (object.kind !== "Pod") return [];
    const { nodeName } = object["spec"] as { nodeName?: string };
    return nodeName === undefined || nodeName === "" ? [] : [nodeName];
  },
};
