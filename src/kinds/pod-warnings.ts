/** Warnings about pod specs: what is accepted and probably not meant (k8s.io/kubernetes, pkg/api/pod). */
import type { Container, PodAffinityTerm, PodSpec, Volume } from "kubernetes-types/core/v1.d.ts";
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
  const metadata = path === "" ? "metadata" : `${path}.metadata`;
  for (const key of Object.keys(annotations ?? {}).sort()) {
    if (!key.startsWith(prefix)) continue;
    const name = key.slice(prefix.length);
    const container = [...(spec.containers ?? []), ...(spec.initContainers ?? [])].find(
      (each) => each.name === name,
    );
    const context = container?.securityContext as { appArmorProfile?: unknown } | undefined;
    if (context?.appArmorProfile === undefined)
      warnings.push(
        `${metadata}.annotations[${key}]: deprecated since v1.30; use the "appArmorProfile" field instead`,
      );
  }
  warnings.push(...hostAliasWarnings(spec, at), ...volumeWarnings(spec.volumes ?? [], at));
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
    const files = (items: readonly { path: string }[] | undefined, kind: string): void => {
      for (const clash of overlaps((items ?? []).map((each) => each.path)))
        warnings.push(
          `volume ${JSON.stringify(volume.name)} (${kind}): overlapping paths: ${JSON.stringify(clash[0])} with ${JSON.stringify(clash[1])}`,
        );
    };
    files(volume.configMap?.items, "ConfigMap");
    files(volume.secret?.items, "Secret");
    files(volume.downwardAPI?.items, "DownwardAPI");
    if (volume.projected === undefined) continue;
    const sources = volume.projected.sources ?? [];
    if (sources.length === 0)
      warnings.push(`volume ${JSON.stringify(volume.name)} (Projected) has no sources provided`);
    const paths: { path: string; from: string }[] = [];
    for (const source of sources) {
      for (const { path } of source.secret?.items ?? [])
        paths.push({ path, from: `Secret ${JSON.stringify(source.secret?.name ?? "")}` });
      for (const { path } of source.configMap?.items ?? [])
        paths.push({ path, from: `ConfigMap ${JSON.stringify(source.configMap?.name ?? "")}` });
      for (const { path } of source.downwardAPI?.items ?? []) paths.push({ path, from: "DownwardAPI" });
      if (source.serviceAccountToken !== undefined)
        paths.push({ path: source.serviceAccountToken.path ?? "", from: "ServiceAccountToken" });
    }
    for (const [position, each] of paths.entries()) {
      const other = paths.slice(0, position).find((before) => clashes(before.path, each.path));
      if (other !== undefined)
        warnings.push(
          `volume ${JSON.stringify(volume.name)} (Projected): overlapping paths: ${JSON.stringify(each.path)} (${each.from}) with ${JSON.stringify(other.path)} (${other.from})`,
        );
    }
  }
  return warnings;
}

function overlaps(paths: readonly string[]): [string, string][] {
  const found: [string, string][] = [];
  for (const [index, path] of paths.entries()) {
    const other = paths.slice(0, index).find((before) => clashes(before, path));
    if (other !== undefined) found.push([path, other]);
  }
  return found;
}

function clashes(a: string, b: string): boolean {
  if (a === "" || b === "") return false;
  const clean = (path: string): string => path.replace(/\/+$/, "");
  const [left, right] = [clean(a), clean(b)];
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
