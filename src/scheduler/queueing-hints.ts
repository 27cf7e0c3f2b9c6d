/**
 * Which changes in the cluster could let a pod fit that rules have refused: only these are worth another
 * attempt. Coarser than the rules themselves, and never finer: what could help must not be missed.
 */

/** What of the cluster has changed. */
export type Change =
  | "nodeAdded"
  | "nodeRemoved"
  | "nodeLabels"
  /** Taints, and whether it is cordoned. */
  | "nodeTaints"
  | "nodeAllocatable"
  /** A pod has come to a node. */
  | "podAdded"
  /** A pod has left its node, ended or stops. */
  | "podRemoved"
  | "podLabels"
  | "namespaceLabels"
  /** Volumes, claims, classes, what nodes can attach. */
  | "storage";

const helpful: Readonly<Record<string, readonly Change[]>> = {
  NodeUnschedulable: ["nodeAdded", "nodeTaints"],
  NodeName: ["nodeAdded"],
  TaintToleration: ["nodeAdded", "nodeTaints"],
  NodeAffinity: ["nodeAdded", "nodeLabels"],
  NodePorts: ["nodeAdded", "podRemoved"],
  NodeResourcesFit: ["nodeAdded", "nodeAllocatable", "podRemoved"],
  VolumeRestrictions: ["nodeAdded", "podRemoved", "storage"],
  NodeVolumeLimits: ["nodeAdded", "podRemoved", "storage"],
  VolumeBinding: ["nodeAdded", "nodeLabels", "storage"],
  VolumeZone: ["nodeAdded", "nodeLabels", "storage"],
  PodTopologySpread: [
    "nodeAdded",
    "nodeRemoved",
    "nodeLabels",
    "nodeTaints",
    "podAdded",
    "podRemoved",
    "podLabels",
  ],
  InterPodAffinity: ["nodeAdded", "nodeLabels", "podAdded", "podRemoved", "podLabels", "namespaceLabels"],
};

/** `refusedBy`: names of the rules that have refused nodes; none: nobody knows, and everything could help. */
export function couldHelp(change: Change, refusedBy: ReadonlySet<string>): boolean {
  if (refusedBy.size === 0) return true;
  for (const rule of refusedBy) if (helpful[rule]?.includes(change) ?? true) return true;
  return false;
}
