/** Warnings about pod specs: what is accepted and probably not meant (k8s.io/kubernetes, pkg/api/pod). */
import type {
  Container,
  PodAffinityTerm,
  PodSpec,
  ProjectedVolumeSource,
  Volume,
  VolumeProjection,
} from "kubernetes-types/core/v1.d.ts";
import { dnsLabelErrors } from "./names.ts";
import { isWholeQuantity, tryParseQuantity } from "./quantity.ts";

const deprecatedNodeLabels: Readonly<Record<string, string>> = {
  "beta.kubernetes.io/arch": `deprecated since v1.14; use "kubernetes.io/arch" instead`,
  "beta.kubernetes.io/os": `deprecated since v1.14; use "kubernetes.io/os" instead`,
  "failure-domain.beta.kubernetes.io/region": `deprecated since v1.17; use "topology.kubernetes.io/region" instead`,
  "failure-domain.beta.kubernetes.io/zone": `deprecated since v1.17; use "topology.kubernetes.io/zone" instead`,
  "beta.kubernetes.io/instance-type": `deprecated since v1.17; use "node.kubernetes.io/instance-type" instead`,
};

/** `path` is "" for a pod, "spec.template" and the like for templates. */
export function podSpecWarnings(
  spec: PodSpec,
  annotations: Record<string, string> | undefined,
  path: string,
): string[] {
  const at = path === "" ? "spec" : `${path}.spec`;
  const warnings: string[] = [];
  for (const key of Object.keys(spec.nodeSelector ?? {}))
    if (deprecatedNodeLabels[key] !== undefined)
      warnings.push(`${at}.nodeSelector[${key}]: ${deprecatedNodeLabels[key]}`);
  for (const [index, each] of (spec.topologySpreadConstraints ?? []).entries())
    if (each.labelSelector === undefined)
      warnings.push(
        `${at}.topologySpreadConstraints[${index}].labelSelector: a null labelSelector results in matching no pod`,
      );
  const prefix = "container.apparmor.security.beta.kubernetes.io/";
  // A pod of its own is warned of its annotations when they are made fields.
  for (const key of path === "" ? [] : Object.keys(annotations ?? {}).sort()) {
    if (!key.startsWith(prefix)) continue;
    const name = key.slice(prefix.length);
    const container = [...(spec.containers ?? []), ...(spec.initContainers ?? [])].find(
      (each) => each.name === name,
    );
    const context = container?.securityContext as { appArmorProfile?: unknown } | undefined;
    if (context?.appArmorProfile === undefined)
      warnings.push(
        `${path}.metadata.annotations[${key}]: deprecated since v1.30; use the "appArmorProfile" field instead`,
      );
  }
  warnings.push(...volumeWarnings(spec.volumes ?? [], at), ...hostAliasWarnings(spec, at));
  const secrets = new Set<string>();
  for (const [index, { name = "" }] of (spec.imagePullSecrets ?? []).entries()) {
    if (name === "") warnings.push(`${at}.imagePullSecrets[${index}].name: invalid empty name ""`);
    else if (secrets.has(name))
      warnings.push(`${at}.imagePullSecrets[${index}].name: duplicate name ${JSON.stringify(name)}`);
    secrets.add(name);
  }
  for (const field of ["initContainers", "containers"] as const)
    for (const [index, container] of (spec[field] ?? []).entries())
      warnings.push(...containerWarnings(container, `${at}.${field}[${index}]`));
  warnings.push(...portWarnings(spec, at), ...affinityWarnings(spec, at));
  return warnings;
}

/** Names that become hostnames had better be DNS labels. */
export function hostnameWarnings(name: string, use = "this is used in Pod names and hostnames"): string[] {
  const wrong = dnsLabelErrors(name);
  return wrong.length === 0
    ? []
    : [
        `metadata.name: ${use}, which can result in surprising behavior; a DNS label is recommended: [${wrong.join(" ")}]`,
      ];
}

function hostAliasWarnings(spec: PodSpec, at: string): string[] {
  const seen = new Set<string>();
  const warnings: string[] = [];
  for (const [index, { ip = "" }] of (spec.hostAliases ?? []).entries()) {
    if (seen.has(ip)) warnings.push(`${at}.hostAliases[${index}].ip: duplicate ip ${JSON.stringify(ip)}`);
    seen.add(ip);
  }
  return warnings;
}

function volumeWarnings(volumes: readonly Volume[], at: string): string[] {
  const warnings: string[] = [];
  for (const [index, volume] of volumes.entries()) {
    if (volume.gitRepo !== undefined) warnings.push(`${at}.volumes[${index}].gitRepo: deprecated in v1.11`);
    const files = (items: readonly { path: string }[] | undefined, owner: string): void => {
      warnings.push(...overlaps(volume.name, owner, [pathsOf(items, "")]));
    };
    files(volume.configMap?.items, `ConfigMap ${JSON.stringify(volume.configMap?.name ?? "")}`);
    files(volume.secret?.items, `Secret ${JSON.stringify(volume.secret?.secretName ?? "")}`);
    files(volume.downwardAPI?.items, "DownwardAPI");
    if (volume.projected !== undefined) warnings.push(...projectedWarnings(volume.name, volume.projected));
  }
  return warnings;
}

function projectedWarnings(name: string, { sources }: ProjectedVolumeSource): string[] {
  const warnings: string[] = [];
  const groups: VirtualPath[][] = [];
  let current: VirtualPath[] = [];
  for (const source of sources ?? []) {
    if (Object.keys(source).length === 0) {
      warnings.push(`volume ${JSON.stringify(name)} (Projected) has no sources provided`);
      continue;
    }
    // Upstream keeps the paths of the source before where one lists none, and so warns of them twice.
    current = projectedPaths(source) ?? current;
    groups.push(current);
  }
  return [...overlaps(name, "Projected", groups), ...warnings];
}

/** A file in a volume; `from` is empty where there is only one source. */
interface VirtualPath {
  path: string;
  from: string;
}

function pathsOf(items: readonly { path: string }[] | undefined, from: string): VirtualPath[] {
  return (items ?? []).map(({ path }) => ({ path: path.replace(/\/+$/, ""), from }));
}

function projectedPaths(source: VolumeProjection): VirtualPath[] | undefined {
  const { configMap, secret, downwardAPI, serviceAccountToken, clusterTrustBundle } = source;
  if (configMap?.items !== undefined)
    return pathsOf(configMap.items, `ConfigMap ${JSON.stringify(configMap.name ?? "")}`);
  if (secret?.items !== undefined)
    return pathsOf(secret.items, `Secret ${JSON.stringify(secret.name ?? "")}`);
  if (downwardAPI?.items !== undefined) return pathsOf(downwardAPI.items, "DownwardAPI");
  if (serviceAccountToken !== undefined) return pathsOf([serviceAccountToken], "ServiceAccountToken");
  if (clusterTrustBundle === undefined) return undefined;
  const bundle = clusterTrustBundle.name ?? clusterTrustBundle.signerName ?? "";
  return pathsOf([clusterTrustBundle], `ClusterTrustBundle ${JSON.stringify(bundle)}`);
}

function overlaps(volume: string, owner: string, groups: readonly VirtualPath[][]): string[] {
  const warnings: string[] = [];
  const earlier: VirtualPath[] = [];
  const shown = ({ path, from }: VirtualPath): string =>
    from === "" ? JSON.stringify(path) : `${JSON.stringify(path)} (${from})`;
  for (const each of groups.flat()) {
    for (const other of earlier)
      if (clashes(each.path, other.path))
        warnings.push(
          `volume ${JSON.stringify(volume)} (${owner}): overlapping paths: ${shown(each)} with ${shown(other)}`,
        );
    earlier.push(each);
  }
  return warnings;
}

function clashes(left: string, right: string): boolean {
  if (left === "" || right === "") return false;
  return left === right || left.startsWith(`${right}/`) || right.startsWith(`${left}/`);
}

function containerWarnings(container: Container, at: string): string[] {
  const warnings: string[] = [];
  for (const field of ["limits", "requests"] as const)
    for (const name of ["memory", "ephemeral-storage"]) {
      const value = (container.resources?.[field] as Record<string, string> | undefined)?.[name];
      const quantity = value === undefined ? undefined : tryParseQuantity(value);
      if (typeof quantity === "object" && !isWholeQuantity(quantity))
        warnings.push(
          `${at}.resources.${field}[${name}]: fractional byte value ${JSON.stringify(value)} is invalid, must be an integer`,
        );
    }
  const names = new Set<string>();
  for (const [index, { name }] of (container.env ?? []).entries()) {
    if (names.has(name))
      warnings.push(
        `${at}.env[${index}]: hides previous definition of ${JSON.stringify(name)}, which may be dropped when using apply`,
      );
    names.add(name);
  }
  return warnings;
}

function portWarnings(spec: PodSpec, at: string): string[] {
  const warnings: string[] = [];
  for (const field of ["containers", "initContainers"] as const)
    for (const [index, container] of (spec[field] ?? []).entries()) {
      const ports = container.ports ?? [];
      for (const [position, port] of ports.entries()) {
        const path = `${at}.${field}[${index}].ports`;
        if (port.hostIP && !port.hostPort)
          warnings.push(
            `${path}[${position}]: hostIP set without hostPort: {Name:${port.name ?? ""} HostPort:0 ContainerPort:${port.containerPort} Protocol:${port.protocol} HostIP:${port.hostIP}}`,
          );
        const same = ports.findIndex(
          (other) =>
            other.containerPort === port.containerPort &&
            other.protocol === port.protocol &&
            (other.hostPort ?? 0) === (port.hostPort ?? 0) &&
            (other.hostIP ?? "") === (port.hostIP ?? ""),
        );
        if (same >= 0 && same < position)
          warnings.push(`${path}[${position}]: duplicate port definition with ${path}[${same}]`);
      }
    }
  return warnings;
}

function affinityWarnings(spec: PodSpec, at: string): string[] {
  const warnings: string[] = [];
  const check = (term: PodAffinityTerm, path: string): void => {
    if (term.labelSelector === undefined)
      warnings.push(`${path}.labelSelector: a null labelSelector results in matching no pod`);
  };
  for (const kind of ["podAffinity", "podAntiAffinity"] as const) {
    const terms = spec.affinity?.[kind];
    const path = `${at}.affinity.${kind}`;
    for (const [index, term] of (terms?.requiredDuringSchedulingIgnoredDuringExecution ?? []).entries())
      check(term, `${path}.requiredDuringSchedulingIgnoredDuringExecution[${index}]`);
    for (const [index, each] of (terms?.preferredDuringSchedulingIgnoredDuringExecution ?? []).entries())
      check(
        each.podAffinityTerm,
        `${path}.preferredDuringSchedulingIgnoredDuringExecution[${index}].podAffinityTerm`,
      );
  }
  return warnings;
}
