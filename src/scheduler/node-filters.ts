/** The rules that look at the node itself: cordon, name, taints, node affinity. */
import { podWantsNode, tolerates, untoleratedTaint } from "./node-selector.ts";
import type { FilterPlugin, Pod, Rejection } from "./types.ts";

const unschedulableTaint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

export const nodeUnschedulable: FilterPlugin = {
  name: "NodeUnschedulable",
  prepare: (pod) => ({
    filter: ({ node }) =>
      node.spec.unschedulable === true && !tolerates(pod.spec.tolerations, unschedulableTaint)
        ? never("node(s) were unschedulable")
        : undefined,
  }),
};

export const nodeName: FilterPlugin = {
  name: "NodeName",
  prepare: (pod) => {
    const wanted = pod.spec.nodeName;
    if (wanted === undefined || wanted === "") return undefined;
    return {
      filter: ({ name }) =>
        name === wanted ? undefined : never("node(s) didn't match the requested node name"),
    };
  },
};

export const taintToleration: FilterPlugin = {
  name: "TaintToleration",
  prepare: (pod) => ({
    filter({ node }) {
      const taint = untoleratedTaint(pod, node, ["NoSchedule", "NoExecute"]);
      if (taint === undefined) return undefined;
      return never(`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`);
    },
  }),
};

export const nodeAffinity: FilterPlugin = {
  name: "NodeAffinity",
  prepare(pod) {
    const hasAffinity =
      pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution !== undefined;
    if (!hasAffinity && Object.keys(pod.spec.nodeSelector ?? {}).length === 0) return undefined;
    if (namedNodes(pod)?.size === 0) return "pod affinity terms conflict";
    return {
      filter: ({ node }) =>
        podWantsNode(pod, node) ? undefined : never("node(s) didn't match Pod's node affinity/selector"),
    };
  },
};

/** Only these nodes come into question: every term names them by metadata.name, as pods of a DaemonSet do. */
export function namedNodes(pod: Pod): Set<string> | undefined {
  const terms =
    pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  let all: Set<string> | undefined;
  for (const term of terms) {
    let names: Set<string> | undefined;
    for (const field of term.matchFields ?? []) {
      if (field.key !== "metadata.name" || field.operator !== "In") continue;
      const listed = new Set(field.values);
      names = names === undefined ? listed : names.intersection(listed);
    }
    if (names === undefined) return undefined;
    all = all === undefined ? names : all.union(names);
  }
  return all;
}

function never(reason: string): Rejection {
  return { reasons: [reason], resolvable: false };
}
