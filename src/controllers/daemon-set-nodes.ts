/** Which nodes a DaemonSet's pods belong on, and the pod for a node. */
import type { Unsaved } from "./controller.ts";
import { daemonSets } from "./kubernetes.ts";
import type { DaemonSet, Node, Pod, PodSpec, Toleration } from "./kubernetes.ts";
import { podFromTemplate } from "./pod-control.ts";

export interface NodeFit {
  shouldRun: boolean;
  /** A pod that is there may stay. */
  mayStay: boolean;
}

/** Daemons run on nodes that are not well: they are often what makes them well. */
const daemonTolerations: readonly Toleration[] = [
  { key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoExecute" },
  { key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute" },
  { key: "node.kubernetes.io/disk-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/memory-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/pid-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/unschedulable", operator: "Exists", effect: "NoSchedule" },
];

export function nodesFor(nodes: readonly Node[], daemonSet: DaemonSet): Map<string, NodeFit> {
  const spec = daemonSet.spec.template.spec ?? { containers: [] };
  const tolerations = tolerationsFor(spec);
  const fits = new Map<string, NodeFit>();
  for (const node of nodes) fits.set(node.metadata.name ?? "", fitOf(node, spec, tolerations));
  return fits;
}

export function podForNode(daemonSet: DaemonSet, node: string, hash: string): Unsaved<Pod> {
  const pod = podFromTemplate(daemonSets, daemonSet, daemonSet.spec.template);
  const generation = daemonSet.metadata.annotations?.["deprecated.daemonset.template.generation"];
  pod.metadata.labels = {
    ...pod.metadata.labels,
    "controller-revision-hash": hash,
    ...(generation === undefined ? {} : { "pod-template-generation": generation }),
  };
  const affinity = pod.spec.affinity ?? {};
  pod.spec.affinity = {
    ...affinity,
    nodeAffinity: {
      ...affinity.nodeAffinity,
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: [node] }] }],
      },
    },
  };
  pod.spec.tolerations = tolerationsFor(pod.spec);
  return pod;
}

/** The node that a pod runs on or is tied to. */
export function targetNode(pod: Pod): string {
  if ((pod.spec.nodeName ?? "") !== "") return pod.spec.nodeName!;
  const terms =
    pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  for (const term of terms ?? []) {
    for (const field of term.matchFields ?? []) {
      if (field.key === "metadata.name" && field.operator === "In") return field.values?.[0] ?? "";
    }
  }
  return "";
}

function tolerationsFor(spec: PodSpec): Toleration[] {
  const tolerations = [...(spec.tolerations ?? [])];
  const wanted =
    spec.hostNetwork === true
      ? [
          ...daemonTolerations,
          {
            key: "node.kubernetes.io/network-unavailable",
            operator: "Exists",
            effect: "NoSchedule",
          } as Toleration,
        ]
      : daemonTolerations;
  for (const each of wanted) {
    const has = tolerations.some(
      ({ key, operator, effect }) => key === each.key && operator === each.operator && effect === each.effect,
    );
    if (!has) tolerations.push({ ...each });
  }
  return tolerations;
}

function fitOf(node: Node, spec: PodSpec, tolerations: readonly Toleration[]): NodeFit {
  const named = (spec.nodeName ?? "") === "" || spec.nodeName === node.metadata.name;
  if (!named || !matchesAffinity(node, spec)) return { shouldRun: false, mayStay: false };
  const untolerated = (effects: readonly string[]): boolean =>
    (node.spec.taints ?? []).some(
      (taint) => effects.includes(taint.effect) && !tolerations.some((each) => tolerates(each, taint)),
    );
  return {
    shouldRun: !untolerated(["NoSchedule", "NoExecute"]),
    mayStay: !untolerated(["NoExecute"]),
  };
}

function tolerates(
  { key, operator, value, effect }: Toleration,
  taint: { key: string; value?: string; effect: string },
): boolean {
  if (effect !== undefined && effect !== "" && effect !== taint.effect) return false;
  if (key === undefined || key === "") return operator === "Exists";
  return key === taint.key && (operator === "Exists" || (value ?? "") === (taint.value ?? ""));
}

function matchesAffinity(node: Node, spec: PodSpec): boolean {
  const labels = node.metadata.labels ?? {};
  for (const [name, value] of Object.entries(spec.nodeSelector ?? {}))
    if (labels[name] !== value) return false;
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  if (required === undefined) return true;
  return required.nodeSelectorTerms.some((term) => {
    const expressions = term.matchExpressions ?? [];
    const fields = term.matchFields ?? [];
    if (expressions.length + fields.length === 0) return false;
    return (
      expressions.every((each) => holds(each, labels[each.key])) &&
      fields.every((each) => holds(each, each.key === "metadata.name" ? node.metadata.name : undefined))
    );
  });
}

function holds(
  { operator, values = [] }: { operator: string; values?: string[] },
  value: string | undefined,
): boolean {
  if (operator === "In") return value !== undefined && values.includes(value);
  if (operator === "NotIn") return value === undefined || !values.includes(value);
  if (operator === "Exists") return value !== undefined;
  if (operator === "DoesNotExist") return value === undefined;
  if (value === undefined || !/^-?\d+$/.test(value)) return false;
  return operator === "Gt" ? Number(value) > Number(values[0]) : Number(value) < Number(values[0]);
}
