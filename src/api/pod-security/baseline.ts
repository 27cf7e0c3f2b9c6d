/**
 * The baseline level of the Pod Security Standards: what lets a pod out of its container in known ways
 * is refused. One function per check, each with the Kubernetes version from which it applies, in the
 * order in which violations are listed.
 */
import type { SecurityContext } from "kubernetes-types/core/v1.d.ts";
import { containersThat, named, plural, quoted, setters } from "./pod-view.ts";
import type { PodView, Violation } from "./pod-view.ts";

export interface Check {
  id: string;
  sinceMinor: number;
  /** `minor`: the version of the standards that is asked for. */
  find(pod: PodView, minor: number): Violation | undefined;
}

export const baselineChecks: readonly Check[] = [
  { id: "appArmorProfile", sinceMinor: 0, find: appArmor },
  { id: "capabilities", sinceMinor: 0, find: capabilities },
  { id: "hostNamespaces", sinceMinor: 0, find: hostNamespaces },
  { id: "hostPathVolumes", sinceMinor: 0, find: hostPaths },
  { id: "hostPorts", sinceMinor: 0, find: hostPorts },
  { id: "privileged", sinceMinor: 0, find: privileged },
  { id: "procMount", sinceMinor: 0, find: procMount },
  { id: "seLinuxOptions", sinceMinor: 0, find: seLinux },
  { id: "seccompProfile", sinceMinor: 19, find: seccomp },
  { id: "sysctls", sinceMinor: 0, find: sysctls },
  { id: "windowsHostProcess", sinceMinor: 0, find: hostProcess },
];

const appArmorPrefix = "container.apparmor.security.beta.kubernetes.io/";

function appArmor(pod: PodView): Violation | undefined {
  const isBad = (context: Pick<SecurityContext, "appArmorProfile"> | undefined): boolean => {
    const type = context?.appArmorProfile?.type;
    return type !== undefined && type !== "RuntimeDefault" && type !== "Localhost";
  };
  const context = pod.spec.securityContext as Pick<SecurityContext, "appArmorProfile"> | undefined;
  const who = setters(
    isBad(context),
    containersThat(pod, (each) => isBad(each.securityContext)),
  );
  const types = [context, ...pod.containers.map((each) => each.securityContext)]
    .filter((each) => isBad(each))
    .map((each) => each?.appArmorProfile?.type ?? "");
  const annotations = Object.entries(pod.annotations)
    .filter(([name, value]) => name.startsWith(appArmorPrefix) && !isAllowedProfile(value))
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  if (annotations.length > 0) who.push(plural("annotation", annotations.length));
  if (who.length === 0) return undefined;
  const values = [...[...new Set(types)].sort(), ...annotations.sort()];
  return {
    reason: plural("forbidden AppArmor profile", values.length),
    detail: `${who.join(" and ")} must not set AppArmor profile type to ${quoted(values)}`,
  };
}

function isAllowedProfile(value: string): boolean {
  return value === "" || value === "runtime/default" || value.startsWith("localhost/");
}

const ordinaryCapabilities: ReadonlySet<string> = new Set([
  "AUDIT_WRITE",
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "MKNOD",
  "NET_BIND_SERVICE",
  "SETFCAP",
  "SETGID",
  "SETPCAP",
  "SETUID",
  "SYS_CHROOT",
]);

function capabilities(pod: PodView): Violation | undefined {
  const detail = addedCapabilities(pod, (each) => ordinaryCapabilities.has(each));
  return detail === undefined ? undefined : { reason: "non-default capabilities", detail };
}

/** Who adds capabilities that are not allowed, and which. */
export function addedCapabilities(
  pod: PodView,
  isAllowed: (capability: string) => boolean,
): string | undefined {
  const added = (context: SecurityContext | undefined): string[] =>
    (context?.capabilities?.add ?? []).filter((each) => !isAllowed(each));
  const containers = containersThat(pod, (each) => added(each.securityContext).length > 0);
  if (containers.length === 0) return undefined;
  const all = new Set(pod.containers.flatMap((each) => added(each.securityContext)));
  return `${named("container", containers)} must not include ${quoted([...all].sort())} in securityContext.capabilities.add`;
}

function hostNamespaces({ spec }: PodView): Violation | undefined {
  const shared = (["hostNetwork", "hostPID", "hostIPC"] as const).filter((each) => spec[each] === true);
  if (shared.length === 0) return undefined;
  return { reason: "host namespaces", detail: shared.map((each) => `${each}=true`).join(", ") };
}

function hostPaths({ spec }: PodView): Violation | undefined {
  const volumes = (spec.volumes ?? []).filter((each) => each.hostPath !== undefined);
  if (volumes.length === 0) return undefined;
  const names = volumes.map((each) => each.name);
  return { reason: "hostPath volumes", detail: named("volume", names) };
}

function hostPorts(pod: PodView): Violation | undefined {
  const portsOf = (container: (typeof pod.containers)[number]): number[] =>
    (container.ports ?? []).map((each) => each.hostPort ?? 0).filter((port) => port !== 0);
  const containers = containersThat(pod, (each) => portsOf(each).length > 0);
  if (containers.length === 0) return undefined;
  const ports = [...new Set(pod.containers.flatMap(portsOf).map(String))].sort();
  const verb = containers.length === 1 ? "uses" : "use";
  return {
    reason: "hostPort",
    detail: `${named("container", containers)} ${verb} ${plural("hostPort", ports.length)} ${ports.join(", ")}`,
  };
}

function privileged(pod: PodView): Violation | undefined {
  const containers = containersThat(pod, (each) => each.securityContext?.privileged === true);
  if (containers.length === 0) return undefined;
  return {
    reason: "privileged",
    detail: `${named("container", containers)} must not set securityContext.privileged=true`,
  };
}

function procMount(pod: PodView): Violation | undefined {
  const mountOf = (context: SecurityContext | undefined): string => context?.procMount ?? "Default";
  const containers = containersThat(pod, (each) => mountOf(each.securityContext) !== "Default");
  if (containers.length === 0) return undefined;
  const mounts = new Set(pod.containers.map((each) => mountOf(each.securityContext)));
  mounts.delete("Default");
  return {
    reason: "procMount",
    detail: `${named("container", containers)} must not set securityContext.procMount to ${quoted([...mounts].sort())}`,
  };
}

const containerTypes: ReadonlySet<string> = new Set([
  "",
  "container_t",
  "container_init_t",
  "container_kvm_t",
]);
const engineTypeSinceMinor = 31;

function seLinux(pod: PodView, minor: number): Violation | undefined {
  type Options = NonNullable<SecurityContext["seLinuxOptions"]>;
  const isBadType = (type: string): boolean =>
    !containerTypes.has(type) && !(type === "container_engine_t" && minor >= engineTypeSinceMinor);
  const isBad = (options: Options | undefined): boolean =>
    isBadType(options?.type ?? "") || (options?.user ?? "") !== "" || (options?.role ?? "") !== "";
  const own = pod.spec.securityContext?.seLinuxOptions;
  const who = setters(
    isBad(own),
    containersThat(pod, (each) => isBad(each.securityContext?.seLinuxOptions)),
  );
  if (who.length === 0) return undefined;
  const all = [own, ...pod.containers.map((each) => each.securityContext?.seLinuxOptions)];
  const types = [...new Set(all.map((each) => each?.type ?? "").filter(isBadType))].sort();
  const parts = types.length === 0 ? [] : [named("type", types)];
  if (all.some((each) => (each?.user ?? "") !== "")) parts.push("user may not be set");
  if (all.some((each) => (each?.role ?? "") !== "")) parts.push("role may not be set");
  return {
    reason: "seLinuxOptions",
    detail: `${who.join(" and ")} set forbidden securityContext.seLinuxOptions: ${parts.join("; ")}`,
  };
}

function seccomp(pod: PodView): Violation | undefined {
  return explicitSeccomp(pod, (type) => type !== "Unconfined");
}

export function explicitSeccomp(pod: PodView, isAllowed: (type: string) => boolean): Violation | undefined {
  const isBad = (context: Pick<SecurityContext, "seccompProfile"> | undefined): boolean =>
    context?.seccompProfile !== undefined && !isAllowed(context.seccompProfile.type);
  const own = pod.spec.securityContext;
  const who = setters(
    isBad(own),
    containersThat(pod, (each) => isBad(each.securityContext)),
  );
  if (who.length === 0) return undefined;
  const types = [own, ...pod.containers.map((each) => each.securityContext)]
    .filter((each) => isBad(each))
    .map((each) => each?.seccompProfile?.type ?? "");
  return {
    reason: "seccompProfile",
    detail: `${who.join(" and ")} must not set securityContext.seccompProfile.type to ${quoted([...new Set(types)].sort())}`,
  };
}

/** Kernel settings of the pod's own namespaces that harm nobody else, and since which version. */
const safeSysctls: Readonly<Record<string, number>> = {
  "kernel.shm_rmid_forced": 0,
  "net.ipv4.ip_local_port_range": 0,
  "net.ipv4.tcp_syncookies": 0,
  "net.ipv4.ping_group_range": 0,
  "net.ipv4.ip_unprivileged_port_start": 0,
  "net.ipv4.ip_local_reserved_ports": 27,
  "net.ipv4.tcp_keepalive_time": 29,
  "net.ipv4.tcp_fin_timeout": 29,
  "net.ipv4.tcp_keepalive_intvl": 29,
  "net.ipv4.tcp_keepalive_probes": 29,
  "net.ipv4.tcp_rmem": 32,
  "net.ipv4.tcp_wmem": 32,
};

function sysctls({ spec }: PodView, minor: number): Violation | undefined {
  const names = (spec.securityContext?.sysctls ?? [])
    .map((each) => each.name)
    .filter((name) => (safeSysctls[name] ?? Number.POSITIVE_INFINITY) > minor);
  if (names.length === 0) return undefined;
  return { reason: "forbidden sysctls", detail: names.join(", ") };
}

function hostProcess(pod: PodView): Violation | undefined {
  const own = pod.spec.securityContext?.windowsOptions?.hostProcess === true;
  const containers = containersThat(
    pod,
    (each) => each.securityContext?.windowsOptions?.hostProcess === true,
  );
  const who = setters(own, containers);
  if (who.length === 0) return undefined;
  return {
    reason: "hostProcess",
    detail: `${who.join(" and ")} must not set securityContext.windowsOptions.hostProcess=true`,
  };
}
