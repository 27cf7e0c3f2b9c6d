/** The policies of a Job: what a failed pod means for it, and when some successes are enough. */
import type { Job, Pod } from "./kubernetes.ts";
import { parseIndexes } from "./job-indexes.ts";

export type FailureAction = "FailJob" | "FailIndex" | "Ignore" | "Count";

interface ContainerState {
  name: string;
  state?: { terminated?: { exitCode: number } };
}

/** Undefined when no rule matches: the failure counts as usual. */
export function failureAction(job: Job, pod: Pod): { action: FailureAction; message: string } | undefined {
  const rules = job.spec.podFailurePolicy?.rules ?? [];
  for (const [index, rule] of rules.entries()) {
    const where = `for pod ${pod.metadata.namespace}/${pod.metadata.name}`;
    const action = rule.action as FailureAction;
    if (rule.onExitCodes !== undefined) {
      const { containerName, operator, values } = rule.onExitCodes;
      const states = [
        ...((pod.status.initContainerStatuses ?? []) as ContainerState[]),
        ...((pod.status.containerStatuses ?? []) as ContainerState[]),
      ];
      for (const { name, state } of states) {
        const code = state?.terminated?.exitCode ?? 0;
        if (code === 0 || (containerName !== undefined && containerName !== null && containerName !== name))
          continue;
        if (values.includes(code) !== (operator === "In")) continue;
        return {
          action,
          message: `Container ${name} ${where} failed with exit code ${code} matching ${action} rule at index ${index}`,
        };
      }
    } else {
      for (const pattern of rule.onPodConditions ?? []) {
        const condition = (pod.status.conditions ?? []).find((each) => each.type === pattern.type);
        if (condition === undefined || condition.status !== (pattern.status ?? "True")) continue;
        return {
          action,
          message: `Pod ${pod.metadata.namespace}/${pod.metadata.name} has condition ${pattern.type} matching ${action} rule at index ${index}`,
        };
      }
    }
  }
  return undefined;
}

interface SuccessRule {
  succeededIndexes?: string;
  succeededCount?: number;
}

/** The message of the first rule that the successes satisfy. */
export function successReached(job: Job, succeeded: ReadonlySet<number>): string | undefined {
  const { successPolicy } = job.spec as { successPolicy?: { rules: SuccessRule[] } };
  if (successPolicy === undefined) return undefined;
  const completions = job.spec.completions ?? 0;
  for (const [index, { succeededIndexes, succeededCount }] of successPolicy.rules.entries()) {
    const message = `Matched rules at index ${index}`;
    if (succeededIndexes === undefined || succeededIndexes === null) {
      if (succeededCount !== undefined && succeeded.size >= succeededCount) return message;
      continue;
    }
    const wanted = parseIndexes(succeededIndexes, completions);
    const reached = wanted.intersection(succeeded).size;
    if (reached >= (succeededCount ?? wanted.size)) return message;
  }
  return undefined;
}
