/**
 * How fast nodes of a zone may lose their pods. A few lost nodes are evicted one after the other; when
 * most of a zone is lost the fault is more likely between it and us, and eviction is slow or stops; when
 * nothing is ready anywhere nobody is evicted (upstream's documented rate limits on eviction).
 */
import { findCondition } from "./conditions.ts";
import type { Condition } from "./conditions.ts";
import type { Node } from "./kubernetes.ts";

/** --node-eviction-rate, --secondary-node-eviction-rate, as the time between two nodes. */
const pauseMs = 10_000;
const secondaryPauseMs = 100_000;
/** --unhealthy-zone-threshold, --large-cluster-size-threshold. */
const unhealthyShare = 0.55;
const largeZone = 50;

export type Disruption = {
  type: "none" | "partial" | "full";
  /** Between two evicted nodes; Infinity: none is. */ pauseMs: number;
};

export function zoneOf(node: Node): string {
  const { labels } = node.metadata;
  return `${labels?.["topology.kubernetes.io/region"] ?? ""}/${labels?.["topology.kubernetes.io/zone"] ?? ""}`;
}

/** Nobody is ready in any zone: it is us who are cut off, and nobody may be evicted. */
export function isEverythingLost(nodes: readonly Node[]): boolean {
  return nodes.length > 0 && !nodes.some(isReady);
}

/** What is wrong with the node's zone. `nodes`: of all zones. */
export function disruptionOf(zone: string, nodes: readonly Node[]): Disruption {
  const members = nodes.filter((each) => zoneOf(each) === zone);
  const lost = members.filter((each) => !isReady(each)).length;
  // A zone that is lost alone is evicted at full speed: others can take its pods.
  if (lost > 0 && lost === members.length)
    return { type: "full", pauseMs: isEverythingLost(nodes) ? Infinity : pauseMs };
  if (lost > 2 && lost / members.length >= unhealthyShare)
    return { type: "partial", pauseMs: members.length > largeZone ? secondaryPauseMs : Infinity };
  return { type: "none", pauseMs };
}

function isReady(node: Node): boolean {
  return findCondition(node.status.conditions as Condition[] | undefined, "Ready")?.status === "True";
}
