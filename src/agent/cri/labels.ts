/**
 * The labels and annotations by which sandboxes and containers are found again: kubelet's, so that
 * crictl and other tools of the field feel at home, and so that a restarted agent adopts what runs.
 */
import { containerHash } from "../plan/container-hash.ts";
import type { AnyContainer, Pod } from "../types.ts";

export const podNameLabel = "io.kubernetes.pod.name";
export const podNamespaceLabel = "io.kubernetes.pod.namespace";
export const podUidLabel = "io.kubernetes.pod.uid";
export const containerNameLabel = "io.kubernetes.container.name";
export const hashAnnotation = "io.kubernetes.container.hash";
export const restartCountAnnotation = "io.kubernetes.container.restartCount";
const messagePathAnnotation = "io.kubernetes.container.terminationMessagePath";
export const messagePolicyAnnotation = "io.kubernetes.container.terminationMessagePolicy";
const gracePeriodAnnotation = "io.kubernetes.pod.terminationGracePeriod";
const preStopAnnotation = "io.kubernetes.container.preStopHandler";
const portsAnnotation = "io.kubernetes.container.ports";

export function podLabels(pod: Pod): Record<string, string> {
  return {
    [podNameLabel]: pod.metadata.name ?? "",
    [podNamespaceLabel]: pod.metadata.namespace ?? "",
    [podUidLabel]: pod.metadata.uid ?? "",
  };
}

export function containerLabels(pod: Pod, container: AnyContainer): Record<string, string> {
  return { [containerNameLabel]: container.name, ...podLabels(pod) };
}

export function containerAnnotations(
  pod: Pod,
  container: AnyContainer,
  restartCount: number,
): Record<string, string> {
  const annotations: Record<string, string> = {
    [hashAnnotation]: containerHash(container),
    [restartCountAnnotation]: String(restartCount),
    [messagePathAnnotation]: container.terminationMessagePath ?? "/dev/termination-log",
    [messagePolicyAnnotation]: container.terminationMessagePolicy ?? "File",
    [gracePeriodAnnotation]: String(pod.spec.terminationGracePeriodSeconds ?? 30),
  };
  if (container.lifecycle?.preStop)
    annotations[preStopAnnotation] = JSON.stringify({ preStop: container.lifecycle.preStop });
  if (container.ports) annotations[portsAnnotation] = JSON.stringify(container.ports);
  return annotations;
}
