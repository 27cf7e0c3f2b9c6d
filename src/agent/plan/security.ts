/** The security settings of a sandbox and of a container, pod's and container's fields joined, in CRI's words. */
import type { ContainerSecurity, NamespaceOption, SecurityProfile } from "../cri/messages.ts";
import type { AnyContainer, Pod } from "../types.ts";
import { ContainerConfigError } from "./environment.ts";

const maskedPaths = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

export function namespaceOptions(pod: Pod, targetId = ""): NamespaceOption {
  const { hostNetwork, hostPID, hostIPC, shareProcessNamespace } = pod.spec;
  const pid = targetId !== "" ? "TARGET" : hostPID ? "NODE" : shareProcessNamespace ? "POD" : "CONTAINER";
  return {
    network: hostNetwork ? "NODE" : "POD",
    pid,
    ipc: hostIPC ? "NODE" : "POD",
    ...(targetId === "" ? {} : { targetId }),
  };
}

/** What the image says of its user: needed for runAsNonRoot and for the default user. */
export interface ImageUser {
  uid: number | undefined;
  username: string;
}

export function containerSecurity(
  pod: Pod,
  container: AnyContainer,
  image: ImageUser,
  targetId = "",
): ContainerSecurity {
  const own = container.securityContext ?? {};
  const shared = pod.spec.securityContext ?? {};
  const privileged = own.privileged === true;
  const runAsUser = own.runAsUser ?? shared.runAsUser ?? image.uid;
  const runAsGroup = own.runAsGroup ?? shared.runAsGroup;
  checkNonRoot(pod, container, own.runAsUser ?? shared.runAsUser, image);
  const groups = [...(shared.supplementalGroups ?? [])];
  if (shared.fsGroup !== undefined) groups.push(shared.fsGroup);
  const unmasked = privileged || own.procMount === "Unmasked";
  return {
    ...(own.capabilities
      ? {
          capabilities: {
            addCapabilities: [...(own.capabilities.add ?? [])],
            dropCapabilities: [...(own.capabilities.drop ?? [])],
          },
        }
      : {}),
    privileged,
    namespaceOptions: namespaceOptions(pod, targetId),
    ...(runAsUser === undefined
      ? image.username === ""
        ? {}
        : { runAsUsername: image.username }
      : { runAsUser: { value: runAsUser } }),
    ...(runAsGroup === undefined || runAsUser === undefined ? {} : { runAsGroup: { value: runAsGroup } }),
    readonlyRootfs: own.readOnlyRootFilesystem === true,
    supplementalGroups: groups,
    noNewPrivs: own.allowPrivilegeEscalation === false && !privileged,
    maskedPaths: unmasked ? [] : maskedPaths,
    readonlyPaths: unmasked ? [] : readonlyPaths,
    seccomp: seccompProfile(own.seccompProfile ?? shared.seccompProfile, privileged),
  };
}

/** Without a profile a container is unconfined, upstream's default. */
export function seccompProfile(
  profile: { type: string; localhostProfile?: string } | undefined,
  privileged = false,
): SecurityProfile {
  if (privileged || !profile || profile.type === "Unconfined") return { profileType: "Unconfined" };
  if (profile.type === "RuntimeDefault") return { profileType: "RuntimeDefault" };
  return { profileType: "Localhost", localhostRef: `/var/lib/kubelet/seccomp/${profile.localhostProfile}` };
}

function checkNonRoot(
  pod: Pod,
  container: AnyContainer,
  runAsUser: number | undefined,
  image: ImageUser,
): void {
  const nonRoot = container.securityContext?.runAsNonRoot ?? pod.spec.securityContext?.runAsNonRoot;
  if (nonRoot !== true) return;
  const where = `pod: "${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})", container: ${container.name}`;
  if (runAsUser !== undefined) {
    if (runAsUser === 0)
      throw new ContainerConfigError(`container's runAsUser breaks non-root policy (${where})`);
    return;
  }
  if (image.username !== "" && image.uid === undefined)
    throw new ContainerConfigError(
      `container has runAsNonRoot and image has non-numeric user (${image.username}), cannot verify user is non-root (${where})`,
    );
  if ((image.uid ?? 0) === 0)
    throw new ContainerConfigError(`container has runAsNonRoot and image will run as root (${where})`);
}
