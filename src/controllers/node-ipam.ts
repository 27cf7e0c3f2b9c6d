/** Node addresses: each node gets a /24 of the cluster's range for its pods, once and for ever. */
import { on, patch, record, self } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { nodes } from "./kubernetes.ts";

const nodeBits = 24;

/** `clusterCidr`: IPv4, at most 24 bits long. Plans run one at a time, so no block is given twice. */
export function nodeIpamController(clusterCidr: string): Controller {
  // Where the last block was found: the next is behind it, and those that were given back come around again.
  const place = { next: 0 };
  return {
    name: "node-ipam-controller",
    triggers: [on(nodes, self, (node, old) => old === undefined || node?.spec.podCIDR === undefined)],
    writes: [nodes],
    concurrency: 1,
    plan: (view, key) => planBlock(view, key, clusterCidr, place),
  };
}

function* planBlock(view: View, key: string, clusterCidr: string, place: { next: number }): Plan {
  const node = view.get(nodes, undefined, key);
  if (node === undefined || (node.spec.podCIDR ?? "") !== "" || node.metadata.deletionTimestamp !== undefined)
    return;
  const block = freeBlock(clusterCidr, place, (each) => view.byIndex(nodes, "podBlock", each).length > 0);
  if (block === undefined) {
    yield* record(node, "Normal", "CIDRNotAvailable", `Node ${key} status is now: CIDRNotAvailable`);
    return;
  }
  yield* patch(nodes, node, "merge", {
    metadata: { resourceVersion: node.metadata.resourceVersion },
    spec: { podCIDR: block, podCIDRs: [block] },
  });
}

/** The first /24 of the range from there on that is not taken. */
function freeBlock(
  clusterCidr: string,
  place: { next: number },
  isTaken: (block: string) => boolean,
): string | undefined {
  const [address = "", bits = "16"] = clusterCidr.split("/");
  const base = address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  const count = 2 ** (nodeBits - Number(bits));
  for (let step = 0; step < count; step++) {
    const index = (place.next + step) % count;
    const start = base + index * 256;
    const text = [start / 2 ** 24, start / 2 ** 16, start / 2 ** 8, start]
      .map((part) => Math.floor(part) % 256)
      .join(".");
    const block = `${text}/${nodeBits}`;
    if (isTaken(block)) continue;
    place.next = index + 1;
    return block;
  }
  return undefined;
}
