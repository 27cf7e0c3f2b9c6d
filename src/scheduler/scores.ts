/** Scores of wishes about the node: its labels, and the images that it has. */
import { termMatches } from "./node-selector.ts";
import { tallyOf } from "./pair-tally.ts";
import type { Parts } from "./pair-tally.ts";
import type { Node, ScorePlugin } from "./types.ts";

const imagesByNode = new WeakMap<Node, Images>();
const minImageBytes = 23 * 1024 * 1024;
const maxImageBytesPerContainer = 1000 * 1024 * 1024;

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
    if (!wanted.some((each) => holders.has("image", each))) return undefined;
    const limit = maxImageBytesPerContainer * wanted.length;
    return nodes.map(({ node }) => {
      let sum = 0;
      for (const each of wanted) {
        const share = holders.of("image", each) / snapshot.nodes.length;
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
    imagesByNode.set(node, (images = { sizes, held: [...sizes.keys()].map((each) => ["image", each, 1]) }));
  }
  return images;
}

function withTag(image: string): string {
  return image.lastIndexOf(":") <= image.lastIndexOf("/") && !image.includes("@") ? `${image}:latest` : image;
}
