/** Node selectors: terms over labels and fields of nodes, and taints against tolerations. */
import type { Node, NodeSelector, NodeSelectorTerm, Pod, Taint, Toleration } from "./types.ts";

/** Any term suffices; a term without requirements matches nothing. */
export function selectsNode(selector: NodeSelector, node: Node): boolean {
  return selector.nodeSelectorTerms.some((term) => termMatches(term, node));
}

export function termMatches(term: NodeSelectorTerm, node: Node): boolean {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length === 0 && fields.length === 0) return false;
  return (
    expressions.every((each) => requirementHolds(each, node.metadata.labels?.[each.key])) &&
    fields.every((each) =>
      requirementHolds(each, each.key === "metadata.name" ? node.metadata.name : undefined),
    )
  );
}

function requirementHolds(
  { operator, values = [] }: { operator: string; values?: string[] },
  value: string | undefined,
): boolean {
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
    case "Lt": {
      if (value === undefined || !/^-?\d+$/.test(value)) return false;
      const difference = Number(value) - Number(values[0]);
      return operator === "Gt" ? difference > 0 : difference < 0;
    }
    default:
      return false;
  }
}

/** nodeSelector and required node affinity together. */
export function podWantsNode(pod: Pod, node: Node): boolean {
  for (const [name, value] of Object.entries(pod.spec.nodeSelector ?? {})) {
    if (node.metadata.labels?.[name] !== value) return false;
  }
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || selectsNode(required, node);
}

export function tolerates(tolerations: readonly Toleration[] | undefined, taint: Taint): boolean {
  return (tolerations ?? []).some(
    ({ key, operator, value, effect }) =>
      (effect === undefined || effect === "" || effect === taint.effect) &&
      (key === undefined || key === "" ? operator === "Exists" : key === taint.key) &&
      (operator === "Exists" || (value ?? "") === (taint.value ?? "")),
  );
}

/** The first taint with one of these effects that the pod does not tolerate. */
export function untoleratedTaint(pod: Pod, node: Node, effects: readonly string[]): Taint | undefined {
  return node.spec.taints?.find(
    (taint) => effects.includes(taint.effect) && !tolerates(pod.spec.tolerations, taint),
  );
}
