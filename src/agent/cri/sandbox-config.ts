/** The CRI description of a pod's sandbox. Pure. */
import { podDomain, podHostname } from "../plan/dns-config.ts";
import type { DnsConfig } from "../plan/dns-config.ts";
import { namespaceOptions, seccompProfile } from "../plan/security.ts";
import { isSidecar } from "../plan/containers.ts";
import type { Pod } from "../types.ts";
import { podLabels } from "./labels.ts";
import type { SandboxConfig } from "./messages.ts";

export interface SandboxInput {
  pod: Pod;
  attempt: number;
  logDirectory: string;
  dns: DnsConfig;
  clusterDomain: string;
  /** The pod's own cgroup. */
  cgroupParent: string;
}

export function sandboxConfig(input: SandboxInput): SandboxConfig {
  const { pod, attempt } = input;
  const { metadata, spec } = pod;
  const shared = spec.securityContext ?? {};
  const all = [...spec.containers, ...(spec.initContainers ?? [])];
  const runAsUser = shared.runAsUser;
  const groups = [...(shared.supplementalGroups ?? [])];
  if (shared.fsGroup !== undefined) groups.push(shared.fsGroup);
  return {
    metadata: {
      name: metadata.name ?? "",
      namespace: metadata.namespace ?? "",
      uid: metadata.uid ?? "",
      attempt,
    },
    // With the host's network the runtime takes the host's name, and only if none is given.
    hostname: spec.hostNetwork ? "" : sandboxHostname(pod, input.clusterDomain),
    logDirectory: input.logDirectory,
    dnsConfig: input.dns,
    portMappings: portMappings(pod),
    labels: { ...metadata.labels, ...podLabels(pod) },
    annotations: { ...metadata.annotations, "kubernetes.io/config.source": "api" },
    linux: {
      cgroupParent: input.cgroupParent,
      sysctls: Object.fromEntries((shared.sysctls ?? []).map(({ name, value }) => [name, value])),
      securityContext: {
        namespaceOptions: namespaceOptions(pod),
        ...(runAsUser === undefined ? {} : { runAsUser: { value: runAsUser } }),
        ...(runAsUser === undefined || shared.runAsGroup === undefined
          ? {}
          : { runAsGroup: { value: shared.runAsGroup } }),
        supplementalGroups: groups,
        privileged: all.some((each) => each.securityContext?.privileged === true),
        readonlyRootfs: false,
        seccomp: seccompProfile(shared.seccompProfile ?? { type: "RuntimeDefault" }),
      },
    },
  };
}

function sandboxHostname(pod: Pod, clusterDomain: string): string {
  const domain = podDomain(pod, clusterDomain);
  const full = pod.spec.setHostnameAsFQDN === true && domain !== "";
  return full ? `${podHostname(pod)}.${domain}` : podHostname(pod);
}

function portMappings(pod: Pod): SandboxConfig["portMappings"] {
  const sidecars = (pod.spec.initContainers ?? []).filter(isSidecar);
  if (pod.spec.hostNetwork) return [];
  return [...sidecars, ...pod.spec.containers].flatMap((container) =>
    (container.ports ?? [])
      .filter((port) => (port.hostPort ?? 0) > 0)
      .map((port) => ({
        protocol: port.protocol ?? "TCP",
        containerPort: port.containerPort,
        hostPort: port.hostPort ?? 0,
        hostIp: port.hostIP ?? "",
      })),
  );
}
