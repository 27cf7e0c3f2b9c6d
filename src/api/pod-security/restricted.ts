/**
 * The restricted level of the Pod Security Standards: what a hardened pod must say about itself, on top
 * of the baseline. A check here replaces the baseline's of the same name.
 */
import type { Volume } from "kubernetes-types/core/v1.d.ts";
import { addedCapabilities, explicitSeccomp } from "./baseline.ts";
import type { Check } from "./baseline.ts";
import { containersThat, named, plural, quoted, setters } from "./pod-view.ts";
import type { PodView, Violation } from "./pod-view.ts";

export const restrictedChecks: readonly Check[] = [
  { id: "allowPrivilegeEscalation", sinceMinor: 8, find: privilegeEscalation },
  { id: "capabilities", sinceMinor: 22, find: capabilities },
  { id: "hostPathVolumes", sinceMinor: 0, find: volumeTypes },
  { id: "runAsNonRoot", sinceMinor: 0, find: nonRoot },
  { id: "runAsUser", sinceMinor: 23, find: rootUser },
  { id: "seccompProfile", sinceMinor: 19, find: seccomp },
];

/** From this version on, pods for Windows need not state what has no meaning there. */
const windowsExemptSinceMinor = 25;

function isExempt({ spec }: PodView, minor: number): boolean {
  return minor >= windowsExemptSinceMinor && spec.os?.name === "windows";
}

function privilegeEscalation(pod: PodView, minor: number): Violation | undefined {
  if (isExempt(pod, minor)) return undefined;
  const containers = containersThat(pod, (each) => each.securityContext?.allowPrivilegeEscalation !== false);
  if (containers.length === 0) return undefined;
  return {
    reason: "allowPrivilegeEscalation != false",
    detail: `${named("container", containers)} must set securityContext.allowPrivilegeEscalation=false`,
  };
}

function capabilities(pod: PodView, minor: number): Violation | undefined {
  if (isExempt(pod, minor)) return undefined;
  const lacking = containersThat(
    pod,
    (each) => !(each.securityContext?.capabilities?.drop ?? []).includes("ALL"),
  );
  const parts =
    lacking.length === 0
      ? []
      : [`${named("container", lacking)} must set securityContext.capabilities.drop=["ALL"]`];
  const added = addedCapabilities(pod, (each) => each === "NET_BIND_SERVICE");
  if (added !== undefined) parts.push(added);
  if (parts.length === 0) return undefined;
  return { reason: "unrestricted capabilities", detail: parts.join("; ") };
}

const allowedVolumes: ReadonlySet<string> = new Set([
  "configMap",
  "csi",
  "downwardAPI",
  "emptyDir",
  "ephemeral",
  "persistentVolumeClaim",
  "projected",
  "secret",
]);

function volumeTypes({ spec }: PodView): Violation | undefined {
  const typeOf = (volume: Volume): string => Object.keys(volume).find((each) => each !== "name") ?? "unknown";
  const bad = (spec.volumes ?? []).filter((each) => !allowedVolumes.has(typeOf(each)));
  if (bad.length === 0) return undefined;
  const types = [...new Set(bad.map(typeOf))].sort();
  const verb = bad.length === 1 ? "uses" : "use";
  const names = bad.map((each) => each.name);
  return {
    reason: "restricted volume types",
    detail: `${named("volume", names)} ${verb} ${plural("restricted volume type", types.length)} ${quoted(types)}`,
  };
}

function nonRoot(pod: PodView): Violation | undefined {
  const own = pod.spec.securityContext?.runAsNonRoot;
  const reason = "runAsNonRoot != true";
  const refusing = containersThat(pod, (each) => each.securityContext?.runAsNonRoot === false);
  const who = setters(own === false, refusing);
  if (who.length > 0)
    return { reason, detail: `${who.join(" and ")} must not set securityContext.runAsNonRoot=false` };
  const silent = containersThat(
    pod,
    (each) => own !== true && each.securityContext?.runAsNonRoot === undefined,
  );
  if (silent.length === 0) return undefined;
  return {
    reason,
    detail: `pod or ${named("container", silent)} must set securityContext.runAsNonRoot=true`,
  };
}

function rootUser(pod: PodView): Violation | undefined {
  const who = setters(
    pod.spec.securityContext?.runAsUser === 0,
    containersThat(pod, (each) => each.securityContext?.runAsUser === 0),
  );
  if (who.length === 0) return undefined;
  return { reason: "runAsUser=0", detail: `${who.join(" and ")} must not set runAsUser=0` };
}

function seccomp(pod: PodView, minor: number): Violation | undefined {
  if (isExempt(pod, minor)) return undefined;
  const isAllowed = (type: string): boolean => type === "RuntimeDefault" || type === "Localhost";
  const explicit = explicitSeccomp(pod, isAllowed);
  if (explicit !== undefined || pod.spec.securityContext?.seccompProfile !== undefined) return explicit;
  const silent = containersThat(pod, (each) => each.securityContext?.seccompProfile === undefined);
  if (silent.length === 0) return undefined;
  return {
    reason: "seccompProfile",
    detail: `pod or ${named("container", silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`,
  };
}
