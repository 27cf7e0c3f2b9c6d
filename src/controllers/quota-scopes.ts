/** Scopes of a ResourceQuota: which pods it counts. */
import type { Pod, ResourceQuota } from "./kubernetes.ts";

export function quotaCovers(quota: ResourceQuota, pod: Pod): boolean {
  const requirements = [
    ...(quota.spec.scopes ?? []).map((scopeName) => ({
      scopeName,
      operator: "Exists",
      values: [] as string[],
    })),
    ...(quota.spec.scopeSelector?.matchExpressions ?? []),
  ];
  return requirements.every(({ scopeName, operator, values }) =>
    inScope(pod, scopeName, operator, values ?? []),
  );
}

function inScope(pod: Pod, scope: string, operator: string, values: readonly string[]): boolean {
  const deadline = pod.spec.activeDeadlineSeconds;
  switch (scope) {
    case "Terminating":
      return deadline !== undefined && deadline !== null;
    case "NotTerminating":
      return deadline === undefined || deadline === null;
    case "BestEffort":
      return isBestEffort(pod);
    case "NotBestEffort":
      return !isBestEffort(pod);
    case "CrossNamespacePodAffinity":
      return reachesOtherNamespaces(pod);
    case "PriorityClass": {
      const name = pod.spec.priorityClassName ?? "";
      if (operator === "Exists") return name !== "";
      if (operator === "DoesNotExist") return name === "";
      return operator === "In" ? values.includes(name) : !values.includes(name);
    }
    default:
      return false;
  }
}

function isBestEffort(pod: Pod): boolean {
  return [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].every(({ resources }) =>
    ["cpu", "memory"].every(
      (name) => resources?.requests?.[name] === undefined && resources?.limits?.[name] === undefined,
    ),
  );
}

function reachesOtherNamespaces(pod: Pod): boolean {
  const { podAffinity, podAntiAffinity } = pod.spec.affinity ?? {};
  return [podAffinity, podAntiAffinity].some((each) => {
    const terms = [
      ...(each?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
      ...(each?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((term) => term.podAffinityTerm),
    ];
    return terms.some((term) => (term.namespaces ?? []).length > 0 || term.namespaceSelector !== undefined);
  });
}
