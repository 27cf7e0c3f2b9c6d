/** The claims that a pod uses, those made for its ephemeral volumes too. */
import type { Pod } from "./kubernetes.ts";

/** Names; all are in the pod's namespace. */
export function* claimsOfPod(pod: Pod): Iterable<string> {
  for (const { persistentVolumeClaim, ephemeral, name } of pod.spec.volumes ?? []) {
    const claimName =
      ephemeral === undefined ? persistentVolumeClaim?.claimName : `${pod.metadata.name}-${name}`;
    if (claimName !== undefined) yield claimName;
  }
}
