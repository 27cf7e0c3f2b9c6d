/** The spec of a pod, wherever it stands: defaults and validation of everything but its containers' details. */
import type {
  HostAlias,
  PodDNSConfig,
  PodSpec,
  ResourceRequirements,
  Volume,
} from "kubernetes-types/core/v1.d.ts";
import {
  type ContainerScope,
  defaultContainer,
  validateContainers,
  validateEphemeralContainers,
  validateInitContainers,
} from "./container.ts";
import { type FieldError, duplicate, forbidden, invalid, notSupported, required } from "./field-error.ts";
import { goStrings } from "./go-syntax.ts";
import { ipErrors } from "./ip.ts";
import { validateLabels } from "./metadata.ts";
import { dnsLabelErrors, dnsSubdomainErrors, nameRule, qualifiedNameErrors } from "./names.ts";
import { validateResourceRequirements } from "./resource-list.ts";
import {
  validateAffinity,
  validateSchedulingGates,
  validateTolerations,
  validateTopologySpread,
} from "./scheduling.ts";
import { validateOsFields, validatePodSecurityContext } from "./security-context.ts";
import { defaultVolume, validateVolumes } from "./volumes.ts";

export function defaultPodSpec(spec: PodSpec): void {
  spec.dnsPolicy ||= "ClusterFirst";
  spec.restartPolicy ||= "Always";
  if (spec.hostNetwork === true) defaultHostPorts(spec);
  spec.securityContext ??= {};
  spec.terminationGracePeriodSeconds ??= 30;
  spec.schedulerName ||= "default-scheduler";
  // Upstream keeps the old name of this field equal to the new one.
  if (spec.serviceAccountName) spec.serviceAccount = spec.serviceAccountName;
  else if (spec.serviceAccount) spec.serviceAccountName = spec.serviceAccount;
  for (const volume of spec.volumes ?? []) defaultVolume(volume);
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])])
    defaultContainer(container);
  for (const container of spec.ephemeralContainers ?? []) defaultContainer(container);
}

/** Fields that this API level knows and leaves out, since upstream's feature gates for them are off by default. */
export function dropDisabledPodFields(spec: PodSpec | undefined): void {
  if (spec === undefined) return;
  delete spec.resourceClaims;
  delete spec.hostUsers;
  delete (spec as { resources?: unknown }).resources;
  const context = spec.securityContext as Record<string, unknown> | undefined;
  delete context?.["supplementalGroupsPolicy"];
  delete context?.["seLinuxChangePolicy"];
  dropImageVolumes(spec);
  for (const container of [...(spec.containers ?? []), ...(spec.initContainers ?? [])]) {
    delete container.resources?.claims;
    delete container.resizePolicy;
    if (container.securityContext?.procMount !== undefined) container.securityContext.procMount = "Default";
  }
}

function dropImageVolumes(spec: PodSpec): void {
  const images = (spec.volumes ?? []).filter((each) => (each as { image?: unknown }).image !== undefined);
  if (images.length === 0) return;
  const names = new Set(images.map((each) => each.name));
  spec.volumes = (spec.volumes ?? []).filter((each) => !names.has(each.name));
  for (const container of [...(spec.containers ?? []), ...(spec.initContainers ?? [])])
    if (container.volumeMounts !== undefined)
      container.volumeMounts = container.volumeMounts.filter((each) => !names.has(each.name));
}

/** In the host's network a container's port is the host's port. */
export function defaultHostPorts(spec: PodSpec): void {
  for (const container of [...(spec.containers ?? []), ...(spec.initContainers ?? [])])
    for (const port of container.ports ?? []) port.hostPort ||= port.containerPort;
}

/** `podName` is empty for templates. */
export function validatePodSpec(spec: PodSpec, podName: string, path: string): FieldError[] {
  const volumes = new Map<string, Volume>();
  const errors = validateVolumes(spec.volumes, podName, `${path}.volumes`, volumes);
  const scope: ContainerScope = {
    spec,
    volumes,
    gracePeriodSeconds: spec.terminationGracePeriodSeconds,
    hostUsers: spec.hostUsers ?? true,
  };
  errors.push(
    ...validateContainers(scope, `${path}.containers`),
    ...validateInitContainers(scope, `${path}.initContainers`),
    ...validateEphemeralContainers(scope, `${path}.ephemeralContainers`),
    ...hostNetworkErrors(spec, path),
  );
  const restart = spec.restartPolicy ?? "";
  if (!["Always", "OnFailure", "Never"].includes(restart))
    errors.push(
      restart === ""
        ? required(`${path}.restartPolicy`)
        : notSupported(`${path}.restartPolicy`, restart, ["Always", "OnFailure", "Never"]),
    );
  const dns = spec.dnsPolicy ?? "";
  const dnsPolicies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
  if (!dnsPolicies.includes(dns))
    errors.push(
      dns === "" ? required(`${path}.dnsPolicy`) : notSupported(`${path}.dnsPolicy`, dns, dnsPolicies),
    );
  errors.push(
    ...validateLabels(spec.nodeSelector, `${path}.nodeSelector`),
    ...validatePodSecurityContext(spec.securityContext, spec, `${path}.securityContext`),
  );
  errors.push(
    ...validateAffinity(spec.affinity, `${path}.affinity`),
    ...validateDnsConfig(spec.dnsConfig, spec.dnsPolicy ?? "", `${path}.dnsConfig`),
  );
  for (const [index, gate] of (spec.readinessGates ?? []).entries())
    errors.push(
      ...qualifiedNameErrors(gate.conditionType ?? "").map((each) =>
        invalid(`${path}.readinessGates[${index}].conditionType`, gate.conditionType ?? "", each),
      ),
    );
  errors.push(
    ...validateSchedulingGates(spec, `${path}.schedulingGates`),
    ...validateTopologySpread(spec.topologySpreadConstraints, `${path}.topologySpreadConstraints`),
    ...hostProcessErrors(spec, path),
    ...hostUsersErrors(spec, path),
    ...nameErrors(spec.serviceAccountName, `${path}.serviceAccountName`),
    ...nameErrors(spec.nodeName, `${path}.nodeName`),
  );
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined && (deadline < 1 || deadline > 2147483647))
    errors.push(
      invalid(`${path}.activeDeadlineSeconds`, deadline, "must be between 1 and 2147483647, inclusive"),
    );
  for (const field of ["hostname", "subdomain"] as const) {
    const value = spec[field];
    if (value) errors.push(...dnsLabelErrors(value).map((each) => invalid(`${path}.${field}`, value, each)));
  }
  errors.push(
    ...validateTolerations(spec.tolerations, `${path}.tolerations`),
    ...validateHostAliases(spec.hostAliases, `${path}.hostAliases`),
    ...nameErrors(spec.priorityClassName, `${path}.priorityClassName`),
    ...nameErrors(spec.runtimeClassName, `${path}.runtimeClassName`),
  );
  const preemption = spec.preemptionPolicy;
  if (preemption !== undefined && preemption !== "PreemptLowerPriority" && preemption !== "Never")
    errors.push(
      preemption === ""
        ? required(`${path}.preemptionPolicy`)
        : notSupported(`${path}.preemptionPolicy`, preemption, ["PreemptLowerPriority", "Never"]),
    );
  if (spec.overhead !== undefined)
    errors.push(
      ...validateResourceRequirements(
        { limits: spec.overhead } as ResourceRequirements,
        new Set(),
        `${path}.overhead`,
      ),
    );
  errors.push(...osErrors(spec, path));
  const names = new Set<string>();
  for (const [index, claim] of (spec.resourceClaims ?? []).entries()) {
    const at = `${path}.resourceClaims[${index}].name`;
    if (!claim.name) errors.push(required(at));
    else if (names.has(claim.name)) errors.push(duplicate(at, claim.name));
    else errors.push(...dnsLabelErrors(claim.name).map((each) => invalid(at, claim.name, each)));
    names.add(claim.name);
  }
  return errors;
}

function osErrors(spec: PodSpec, path: string): FieldError[] {
  if (spec.os === undefined) return [];
  const name = spec.os.name ?? "";
  if (name === "") return [required(`${path}.os.name`, "cannot be empty")];
  if (name !== "linux" && name !== "windows") return [notSupported(`${path}.os`, name, ["linux", "windows"])];
  return validateOsFields(spec, path);
}

const subdomainRule = nameRule(dnsSubdomainErrors);

function nameErrors(name: string | undefined, path: string): FieldError[] {
  return name ? subdomainRule(name, false).map((each) => invalid(path, name, each)) : [];
}

function hostNetworkErrors(spec: PodSpec, path: string): FieldError[] {
  if (spec.hostNetwork !== true) return [];
  const errors: FieldError[] = [];
  for (const field of ["containers", "initContainers"] as const)
    for (const [index, container] of (spec[field] ?? []).entries())
      for (const [position, port] of (container.ports ?? []).entries())
        if (port.hostPort !== port.containerPort)
          errors.push(
            invalid(
              `${path}.${field}[${index}].ports[${position}].hostPort`,
              port.hostPort ?? 0,
              "must match `containerPort` when `hostNetwork` is true",
            ),
          );
  return errors;
}

function hostProcessErrors(spec: PodSpec, path: string): FieldError[] {
  const pod = spec.securityContext?.windowsOptions?.hostProcess;
  const errors: FieldError[] = [];
  let all = true;
  let any = false;
  for (const field of ["containers", "initContainers"] as const)
    for (const [index, container] of (spec[field] ?? []).entries()) {
      const own = container.securityContext?.windowsOptions?.hostProcess;
      const at = `${path}.${field}[${index}].securityContext.windowsOptions.hostProcess`;
      if (pod !== undefined && own !== undefined && pod !== own)
        errors.push(
          invalid(at, own, `pod hostProcess value must be identical if both are specified, was ${pod}`),
        );
      const is = own ?? pod ?? false;
      any ||= is;
      all &&= is;
    }
  if (!any) return errors;
  if (!all)
    errors.push(
      invalid(
        path,
        "",
        "If pod contains any hostProcess containers then all containers must be HostProcess containers",
      ),
    );
  if (spec.hostNetwork !== true)
    errors.push(
      invalid(
        `${path}.hostNetwork`,
        false,
        "hostNetwork must be true if pod contains any hostProcess containers",
      ),
    );
  return errors;
}

function hostUsersErrors(spec: PodSpec, path: string): FieldError[] {
  if (spec.hostUsers !== false) return [];
  return (["hostNetwork", "hostPID", "hostIPC"] as const)
    .filter((field) => spec[field] === true)
    .map((field) => forbidden(`${path}.${field}`, "when `hostUsers` is false"));
}

function validateDnsConfig(config: PodDNSConfig | undefined, policy: string, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (policy === "None") {
    if (config === undefined) return [required(path, "must provide `dnsConfig` when `dnsPolicy` is None")];
    if ((config.nameservers ?? []).length === 0)
      return [
        required(`${path}.nameservers`, "must provide at least one DNS nameserver when `dnsPolicy` is None"),
      ];
  }
  if (config === undefined) return [];
  const servers = config.nameservers ?? [];
  if (servers.length > 3)
    errors.push(invalid(`${path}.nameservers`, goStrings(servers), "must not have more than 3 nameservers"));
  for (const [index, server] of servers.entries())
    errors.push(...ipErrors(server).map((each) => invalid(`${path}.nameservers[${index}]`, server, each)));
  const searches = config.searches ?? [];
  if (searches.length > 32)
    errors.push(invalid(`${path}.searches`, goStrings(searches), "must not have more than 32 search paths"));
  if (searches.join(" ").length > 2048)
    errors.push(
      invalid(
        `${path}.searches`,
        goStrings(searches),
        "must not have more than 2048 characters (including spaces) in the search list",
      ),
    );
  for (const [index, search] of searches.entries()) {
    const name = search.endsWith(".") ? search.slice(0, -1) : search;
    errors.push(
      ...dnsSubdomainErrors(name).map((each) => invalid(`${path}.searches[${index}]`, search, each)),
    );
  }
  for (const [index, option] of (config.options ?? []).entries())
    if (!option.name) errors.push(required(`${path}.options[${index}]`, "must not be empty"));
  return errors;
}

function validateHostAliases(aliases: readonly HostAlias[] | undefined, path: string): FieldError[] {
  return (aliases ?? []).flatMap((alias, index) => [
    ...ipErrors(alias.ip ?? "").map((each) => invalid(`${path}[${index}].ip`, alias.ip ?? "", each)),
    ...(alias.hostnames ?? []).flatMap((name, position) =>
      dnsSubdomainErrors(name).map((each) => invalid(`${path}[${index}].hostnames[${position}]`, name, each)),
    ),
  ]);
}
