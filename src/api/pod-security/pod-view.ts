/** How the checks of the Pod Security Standards see a pod, and how they name what is wrong with it. */
import type { Container, PodSpec } from "kubernetes-types/core/v1.d.ts";

export interface PodView {
  annotations: Readonly<Record<string, string>>;
  spec: PodSpec;
  /** Containers of all sorts, in the order in which they are named. */
  containers: readonly Container[];
}

/** What one check found wrong: `reason (detail)`. */
export interface Violation {
  reason: string;
  detail: string;
}

export function viewOf(
  metadata: { annotations?: Record<string, string> } | undefined,
  spec: PodSpec,
): PodView {
  const ephemeral = (spec.ephemeralContainers ?? []) as readonly Container[];
  return {
    annotations: metadata?.annotations ?? {},
    spec,
    containers: [...(spec.initContainers ?? []), ...(spec.containers ?? []), ...ephemeral],
  };
}

export function quoted(names: readonly string[]): string {
  return names.map((each) => `"${each}"`).join(", ");
}

/** `container "a"`, `containers "a", "b"`. */
export function named(noun: string, names: readonly string[]): string {
  return `${plural(noun, names.length)} ${quoted(names)}`;
}

export function plural(noun: string, count: number): string {
  return count === 1 ? noun : `${noun}s`;
}

/** The names of the containers for which this holds. */
export function containersThat(pod: PodView, test: (container: Container) => boolean): string[] {
  return pod.containers.filter(test).map((each) => each.name);
}

/** "pod", the containers, or both: who set something. */
export function setters(podSets: boolean, containers: readonly string[]): string[] {
  return [...(podSets ? ["pod"] : []), ...(containers.length > 0 ? [named("container", containers)] : [])];
}
