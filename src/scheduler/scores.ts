/** The scores that look at one node alone: free and balanced resources, taints, node affinity, images. */
import { termMatches } from "./node-selector.ts";
import { meritsFor } from "./own-merits.ts";
import type { Merits } from "./own-merits.ts";
import { tallyOf } from "./pair-tally.ts";
import type { Parts } from "./pair-tally.ts";
import type { Node, ScorePlugin } from "./types.ts";

const imagesByNode = new WeakMap<Node, Images>();
const minImageBytes = 23 * 1024 * 1024;
const maxImageBytesPerContainer = 1000 * 1024 * 1024;

/** Emptier nodes first. */
export const leastAllocated = ownScore("NodeResourcesFit", (merits) => merits.free);

/** Nodes whose resources would be used evenly. */
export const balancedAllocation = ownScore("NodeResourcesBalancedAllocation", (merits) => merits.balance);

/** Nodes with fewer PreferNoSchedule taints that the pod does not tolerate. */
export const taintTolerationScore: ScorePlugin = {
  name: "TaintToleration",
  weight: 3,
  score(pod, nodes, snapshot) {
    const merits = meritsFor(pod, snapshot);
    if (typeof merits === "string") return undefined;
    const counts = nodes.map((info) => merits(info).taints);
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
    const holders = tallyOf(snapshot, "images", ({ node }) => imagesOf(node).held);
    if (!wanted.some((each) => holders.has(each))) return undefined;
    const limit = maxImageBytesPerContainer * wanted.length;
    return nodes.map(({ node }) => {
      let sum = 0;
      for (const each of wanted) {
        const share = holders.of(each) / snapshot.nodes.length;
        sum += Math.trunc((imagesOf(node).sizes.get(each) ?? 0) * share);
      }
      const clamped = Math.min(Math.max(sum, minImageBytes), limit);
      return Math.trunc((100 * (clamped - minImageBytes)) / (limit - minImageBytes));
    });
  },
};

interface Images {
  /** Bytes, by name with tag. */
  sizes: ReadonlyMap<string, number>;
  /** Each once, for the count of nodes that have it. */
  held: Parts;
}

function imagesOf(node: Node): Images {
  let images = imagesByNode.get(node);
  if (images === undefined) {
    const sizes = new Map<string, number>();
    for (const image of node.status.images ?? []) {
      for (const each of image.names ?? []) sizes.set(withTag(each), image.sizeBytes ?? 0);
    }
    imagesByNode.set(node, (images = { sizes, held: [...sizes.keys()].map((each) => [each, 1]) }));
  }
  return images;
}

function ownScore(name: string, of: (merits: Merits) => number): ScorePlugin {
  return {
    name,
    weight: 1,
    score(pod, nodes, snapshot) {
      const merits = meritsFor(pod, snapshot);
      return typeof merits === "string" ? undefined : nodes.map((info) => of(merits(info)));
    },
  };
}

function withTag(image: string): string {
  return image.lastIndexOf(":") <= image.lastIndexOf("/") && !image.includes("@") ? `${image}:latest` : image;
}
