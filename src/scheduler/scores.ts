/** The scores that look at one node alone: free and balanced resources, taints, node affinity, images. */
import { askedBy } from "./node-info.ts";
import { tolerates, termMatches } from "./node-selector.ts";
import type { Node, NodeInfo, ScorePlugin, Taint } from "./types.ts";

const noTaints: readonly Taint[] = [];
const sizesByNode = new WeakMap<Node, Map<string, number>>();
const minImageBytes = 23 * 1024 * 1024;
const maxImageBytesPerContainer = 1000 * 1024 * 1024;

/** Emptier nodes first. */
export const leastAllocated: ScorePlugin = {
  name: "NodeResourcesFit",
  weight: 1,
  score(pod, nodes) {
    const { assumed } = askedBy(pod);
    return nodes.map((info) => {
      const cpu = freeShare(info.assumed.milliCpu + assumed.milliCpu, info.allocatable["cpu"] ?? 0);
      const memory = freeShare(info.assumed.memory + assumed.memory, info.allocatable["memory"] ?? 0);
      if (cpu === undefined || memory === undefined) return cpu ?? memory ?? 0;
      return Math.trunc((cpu + memory) / 2);
    });
  },
};

/** Nodes whose resources would be used evenly. */
export const balancedAllocation: ScorePlugin = {
  name: "NodeResourcesBalancedAllocation",
  weight: 1,
  score(pod, nodes) {
    const { requests } = askedBy(pod);
    const share = ({ allocatable, requested }: NodeInfo, name: string): number | undefined => {
      const capacity = allocatable[name] ?? 0;
      if (capacity === 0) return undefined;
      return Math.min(1, ((requested[name] ?? 0) + (requests[name] ?? 0)) / capacity);
    };
    return nodes.map((info) => {
      const cpu = share(info, "cpu");
      const memory = share(info, "memory");
      const deviation = cpu === undefined || memory === undefined ? 0 : Math.abs(cpu - memory) / 2;
      return Math.trunc((1 - deviation) * 100);
    });
  },
};

/** Nodes with fewer PreferNoSchedule taints that the pod does not tolerate. */
export const taintTolerationScore: ScorePlugin = {
  name: "TaintToleration",
  weight: 3,
  score(pod, nodes) {
    const counts = nodes.map(({ node }) => {
      let count = 0;
      for (const taint of node.spec.taints ?? noTaints) {
        if (taint.effect === "PreferNoSchedule" && !tolerates(pod.spec.tolerations, taint)) count++;
      }
      return count;
    });
    const most = Math.max(...counts);
    return counts.map((count) => (most === 0 ? 100 : 100 - Math.trunc((100 * count) / most)));
  },
};

export const nodeAffinityScore: ScorePlugin = {
  name: "NodeAffinity",
  weight: 2,
  score(pod, nodes) {
    const terms = pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    if (terms.length === 0) return undefined;
    const sums = nodes.map(({ node }) =>
      terms.reduce((sum, { weight, preference }) => {
        const isEmpty =
          (preference.matchExpressions ?? []).length + (preference.matchFields ?? []).length === 0;
        return isEmpty || termMatches(preference, node) ? sum + weight : sum;
      }, 0),
    );
    const most = Math.max(...sums);
    return sums.map((sum) => (most === 0 ? 0 : Math.trunc((100 * sum) / most)));
  },
};

/** Nodes that have the pod's images already; images that many nodes have count more. */
export const imageLocality: ScorePlugin = {
  name: "ImageLocality",
  weight: 1,
  score(pod, nodes, snapshot) {
    const wanted = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].map((each) =>
      withTag(each.image ?? ""),
    );
    const holders = new Map<string, number>();
    for (const { node } of snapshot.nodes) {
      const sizes = imageSizes(node);
      if (sizes.size === 0) continue;
      for (const each of new Set(wanted))
        if (sizes.has(each)) holders.set(each, (holders.get(each) ?? 0) + 1);
    }
    if (holders.size === 0) return undefined;
    const limit = maxImageBytesPerContainer * wanted.length;
    return nodes.map(({ node }) => {
      let sum = 0;
      for (const each of wanted) {
        const share = (holders.get(each) ?? 0) / snapshot.nodes.length;
        sum += Math.trunc((imageSizes(node).get(each) ?? 0) * share);
      }
      const clamped = Math.min(Math.max(sum, minImageBytes), limit);
      return Math.trunc((100 * (clamped - minImageBytes)) / (limit - minImageBytes));
    });
  },
};

/** In bytes, by name with tag. */
function imageSizes(node: Node): ReadonlyMap<string, number> {
  let sizes = sizesByNode.get(node);
  if (sizes === undefined) {
    sizesByNode.set(node, (sizes = new Map()));
    for (const image of node.status.images ?? []) {
      for (const each of image.names ?? []) sizes.set(withTag(each), image.sizeBytes ?? 0);
    }
  }
  return sizes;
}

function freeShare(used: number, capacity: number): number | undefined {
  if (capacity === 0) return undefined;
  return used > capacity ? 0 : Math.trunc(((capacity - used) * 100) / capacity);
}

function withTag(image: string): string {
  return image.lastIndexOf(":") <= image.lastIndexOf("/") && !image.includes("@") ? `${image}:latest` : image;
}
