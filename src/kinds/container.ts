/** Containers of every sort (main, init, sidecar, ephemeral): defaults and validation. */
import type { Container, ContainerPort, PodSpec, Volume, VolumeMount } from "kubernetes-types/core/v1.d.ts";
import { defaultEnvironment, validateEnv, validateEnvFrom } from "./environment.ts";
import {
  type FieldError,
  duplicate,
  forbidden,
  invalid,
  notFound,
  notSupported,
  required,
} from "./field-error.ts";
import { defaultLifecycle, defaultProbe, validateLifecycle, validateProbe } from "./handlers.ts";
import { dnsLabelErrors, portNameErrors, portNumberErrors } from "./names.ts";
import { localPathErrors } from "./paths.ts";
import { validateResourceRequirements } from "./resource-list.ts";
import { validateSecurityContext } from "./security-context.ts";
import { defaultPullPolicy } from "./volumes.ts";

export function defaultContainer(container: Container): void {
  container.terminationMessagePath ||= "/dev/termination-log";
  container.terminationMessagePolicy ||= "File";
  container.imagePullPolicy ||= defaultPullPolicy(container.image ?? "");
  for (const port of container.ports ?? []) port.protocol ||= "TCP";
  defaultEnvironment(container);
  defaultProbe(container.livenessProbe);
  defaultProbe(container.readinessProbe);
  defaultProbe(container.startupProbe);
  defaultLifecycle(container.lifecycle);
}

/** What a container is checked against. */
export interface ContainerScope {
  spec: PodSpec;
  volumes: ReadonlyMap<string, Volume>;
  gracePeriodSeconds: number | undefined;
  hostUsers: boolean;
}

export function validateContainers(scope: ContainerScope, path: string): FieldError[] {
  const containers = scope.spec.containers ?? [];
  if (containers.length === 0) return [required(path)];
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [index, container] of containers.entries()) {
    const at = `${path}[${index}]`;
    errors.push(...validateCommon(container, scope, at));
    if (container.name) {
      if (names.has(container.name)) errors.push(duplicate(`${at}.name`, container.name));
      names.add(container.name);
    }
    errors.push(
      ...validateLifecycle(container.lifecycle, scope.gracePeriodSeconds, `${at}.lifecycle`),
      ...probeErrors(container, scope, at),
    );
    if (container.restartPolicy !== undefined)
      errors.push(forbidden(`${at}.restartPolicy`, "may not be set for non-init containers"));
  }
  return [...errors, ...hostPortConflicts(containers, path)];
}

export function validateInitContainers(scope: ContainerScope, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set((scope.spec.containers ?? []).map((each) => each.name));
  for (const [index, container] of (scope.spec.initContainers ?? []).entries()) {
    const at = `${path}[${index}]`;
    errors.push(...validateCommon(container, scope, at));
    const policy = container.restartPolicy;
    const restarts = policy === "Always";
    if (policy !== undefined && !restarts)
      errors.push(notSupported(`${at}.restartPolicy`, policy, ["Always"]));
    if (container.name && names.has(container.name)) errors.push(duplicate(`${at}.name`, container.name));
    if (container.name) names.add(container.name);
    // Each runs alone, and upstream looks at each as if it were the only one.
    errors.push(...hostPortConflicts([container], path));
    if (restarts) {
      errors.push(
        ...validateLifecycle(container.lifecycle, scope.gracePeriodSeconds, `${at}.lifecycle`),
        ...probeErrors(container, scope, at),
      );
      continue;
    }
    for (const field of ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] as const)
      if (container[field] !== undefined)
        errors.push(
          forbidden(`${at}.${field}`, "may not be set for init containers without restartPolicy=Always"),
        );
  }
  return errors;
}

const ephemeralAllowed = new Set([
  "name",
  "image",
  "command",
  "args",
  "workingDir",
  "envFrom",
  "env",
  "volumeMounts",
  "volumeDevices",
  "terminationMessagePath",
  "terminationMessagePolicy",
  "imagePullPolicy",
  "securityContext",
  "stdin",
  "stdinOnce",
  "tty",
]);

export function validateEphemeralContainers(scope: ContainerScope, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { spec } = scope;
  const others = new Set(
    [...(spec.containers ?? []), ...(spec.initContainers ?? [])].map((each) => each.name),
  );
  const seen = new Set<string>();
  for (const [index, container] of (spec.ephemeralContainers ?? []).entries()) {
    const at = `${path}[${index}]`;
    errors.push(...validateCommon(container as Container, scope, at));
    const image = container.image ?? "";
    if (image !== image.trim())
      errors.push(invalid(`${at}.image`, image, "must not have leading or trailing whitespace"));
    if (seen.has(container.name) || others.has(container.name))
      errors.push(duplicate(`${at}.name`, container.name));
    seen.add(container.name);
    const target = container.targetContainerName ?? "";
    if (target !== "" && !others.has(target)) errors.push(notFound(`${at}.targetContainerName`, target));
    for (const [field, value] of Object.entries(container)) {
      if (field === "targetContainerName" || ephemeralAllowed.has(field) || isBlank(value)) continue;
      errors.push(forbidden(`${at}.${field}`, "cannot be set for an Ephemeral Container"));
    }
    for (const [position, mount] of (container.volumeMounts ?? []).entries())
      if (mount.subPath || mount.subPathExpr)
        errors.push(
          forbidden(
            `${at}.volumeMounts[${position}].${mount.subPath ? "subPath" : "subPathExpr"}`,
            "cannot be set for an Ephemeral Container",
          ),
        );
  }
  return errors;
}

/** Pods are told of blanks around an image; templates have always been accepted with them. */
export function imageSpaceErrors(containers: readonly Container[] | undefined, path: string): FieldError[] {
  return (containers ?? []).flatMap(({ image = "" }, index) =>
    image === image.trim()
      ? []
      : [invalid(`${path}[${index}].image`, image, "must not have leading or trailing whitespace")],
  );
}

function isBlank(value: unknown): boolean {
  if (value === undefined || value === null || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

function validateCommon(container: Container, scope: ContainerScope, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!container.name) errors.push(required(`${path}.name`));
  else
    errors.push(
      ...dnsLabelErrors(container.name).map((each) => invalid(`${path}.name`, container.name, each)),
    );
  const image = container.image ?? "";
  if (image === "") errors.push(required(`${path}.image`));
  const messages = container.terminationMessagePolicy ?? "";
  if (!["File", "FallbackToLogsOnError"].includes(messages))
    errors.push(
      notSupported(`${path}.terminationMessagePolicy`, messages, ["FallbackToLogsOnError", "File"]),
    );
  errors.push(
    ...validatePorts(container.ports, `${path}.ports`),
    ...validateEnv(container.env, `${path}.env`),
    ...validateEnvFrom(container.envFrom, `${path}.envFrom`),
    ...validateMounts(container, scope, `${path}.volumeMounts`),
    ...validateDevices(container, scope, `${path}.volumeDevices`),
  );
  const pullPolicy = container.imagePullPolicy ?? "";
  if (!["Always", "IfNotPresent", "Never"].includes(pullPolicy))
    errors.push(notSupported(`${path}.imagePullPolicy`, pullPolicy, ["Always", "IfNotPresent", "Never"]));
  const claims = new Set((scope.spec.resourceClaims ?? []).map((each) => each.name));
  errors.push(
    ...validateResourceRequirements(container.resources, claims, `${path}.resources`),
    ...resizePolicyErrors(container, scope.spec, `${path}.resizePolicy`),
    ...validateSecurityContext(container.securityContext, `${path}.securityContext`, scope.hostUsers),
  );
  return errors;
}

function resizePolicyErrors(container: Container, spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [index, each] of (container.resizePolicy ?? []).entries()) {
    const at = `${path}[${index}]`;
    if (seen.has(each.resourceName)) errors.push(duplicate(at, each.resourceName));
    seen.add(each.resourceName);
    if (!["cpu", "memory"].includes(each.resourceName))
      errors.push(notSupported(at, each.resourceName ?? "", ["cpu", "memory"]));
    if (!["NotRequired", "RestartContainer"].includes(each.restartPolicy))
      errors.push(notSupported(at, each.restartPolicy ?? "", ["NotRequired", "RestartContainer"]));
    if (spec.restartPolicy === "Never" && each.restartPolicy !== "NotRequired")
      errors.push(invalid(at, each.restartPolicy, "must be 'NotRequired' when `restartPolicy` is 'Never'"));
  }
  return errors;
}

function probeErrors(container: Container, scope: ContainerScope, path: string): FieldError[] {
  return (["livenessProbe", "readinessProbe", "startupProbe"] as const).flatMap((kind) =>
    validateProbe(container[kind], kind, scope.gracePeriodSeconds, `${path}.${kind}`),
  );
}

function validatePorts(ports: readonly ContainerPort[] | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [index, port] of (ports ?? []).entries()) {
    const at = `${path}[${index}]`;
    if (port.name) {
      const wrong = portNameErrors(port.name);
      errors.push(...wrong.map((each) => invalid(`${at}.name`, port.name, each)));
      if (wrong.length === 0 && names.has(port.name)) errors.push(duplicate(`${at}.name`, port.name));
      names.add(port.name);
    }
    if (!port.containerPort) errors.push(required(`${at}.containerPort`));
    else
      errors.push(
        ...portNumberErrors(port.containerPort).map((each) =>
          invalid(`${at}.containerPort`, port.containerPort, each),
        ),
      );
    if (port.hostPort !== undefined && port.hostPort !== 0)
      errors.push(
        ...portNumberErrors(port.hostPort).map((each) => invalid(`${at}.hostPort`, port.hostPort, each)),
      );
    const protocol = port.protocol ?? "";
    if (protocol === "") errors.push(required(`${at}.protocol`));
    else if (!["SCTP", "TCP", "UDP"].includes(protocol))
      errors.push(notSupported(`${at}.protocol`, protocol, ["SCTP", "TCP", "UDP"]));
  }
  return errors;
}

/** Two containers may not want the same port of the host. */
function hostPortConflicts(containers: readonly Container[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [index, container] of containers.entries())
    for (const [position, port] of (container.ports ?? []).entries()) {
      if (!port.hostPort) continue;
      const key = `${port.protocol}/${port.hostIP ?? ""}/${port.hostPort}`;
      if (seen.has(key)) errors.push(duplicate(`${path}[${index}].ports[${position}].hostPort`, key));
      seen.add(key);
    }
  return errors;
}

function validateMounts(container: Container, scope: ContainerScope, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const paths = new Set<string>();
  const devices = new Map((container.volumeDevices ?? []).map((each) => [each.name, each.devicePath]));
  const devicePaths = new Set(devices.values());
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    const at = `${path}[${index}]`;
    if (!mount.name) errors.push(required(`${at}.name`));
    if (!mount.mountPath) errors.push(required(`${at}.mountPath`));
    if (!scope.volumes.has(mount.name)) errors.push(notFound(`${at}.name`, mount.name ?? ""));
    if (paths.has(mount.mountPath))
      errors.push(invalid(`${at}.mountPath`, mount.mountPath, "must be unique"));
    paths.add(mount.mountPath);
    if (devices.has(mount.name))
      errors.push(invalid(`${at}.name`, mount.name, "must not already exist in volumeDevices"));
    if (devicePaths.has(mount.mountPath))
      errors.push(
        invalid(`${at}.mountPath`, mount.mountPath, "must not already exist as a path in volumeDevices"),
      );
    // Upstream names these fields without the index.
    if (mount.subPath) errors.push(...localPathErrors(mount.subPath, `${path}.subPath`));
    if (mount.subPathExpr) {
      if (mount.subPath)
        errors.push(
          invalid(`${at}.subPathExpr`, mount.subPathExpr, "subPathExpr and subPath are mutually exclusive"),
        );
      errors.push(...localPathErrors(mount.subPathExpr, `${path}.subPathExpr`));
    }
    errors.push(...propagationErrors(mount, container, path));
  }
  return errors;
}

function propagationErrors(mount: VolumeMount, container: Container, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { mountPropagation: propagation, recursiveReadOnly } = mount;
  const modes = ["Bidirectional", "HostToContainer", "None"];
  if (propagation !== undefined) {
    if (!modes.includes(propagation))
      errors.push(notSupported(`${path}.mountPropagation`, propagation, modes));
    if (propagation === "Bidirectional" && container.securityContext?.privileged !== true)
      errors.push(
        forbidden(
          `${path}.mountPropagation`,
          "Bidirectional mount propagation is available only to privileged containers",
        ),
      );
  }
  if (recursiveReadOnly === undefined || recursiveReadOnly === "Disabled") return errors;
  const at = `${path}.recursiveReadOnly`;
  if (!["Enabled", "IfPossible"].includes(recursiveReadOnly))
    return [...errors, notSupported(at, recursiveReadOnly, ["Disabled", "Enabled", "IfPossible"])];
  if (mount.readOnly !== true) errors.push(forbidden(at, "may only be specified when readOnly is true"));
  if (propagation !== undefined && propagation !== "None")
    errors.push(forbidden(at, "may only be specified when mountPropagation is None or not specified"));
  return errors;
}

function validateDevices(container: Container, scope: ContainerScope, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  const paths = new Set<string>();
  for (const [index, device] of (container.volumeDevices ?? []).entries()) {
    const at = `${path}[${index}]`;
    if (!device.name) errors.push(required(`${at}.name`));
    if (names.has(device.name)) errors.push(invalid(`${at}.name`, device.name, "must be unique"));
    const volume = scope.volumes.get(device.name);
    if (volume === undefined) errors.push(notFound(`${at}.name`, device.name ?? ""));
    else if (volume.persistentVolumeClaim === undefined && volume.ephemeral === undefined)
      errors.push(
        invalid(
          `${at}.name`,
          device.name,
          "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
        ),
      );
    if (!device.devicePath) errors.push(required(`${at}.devicePath`));
    if (paths.has(device.devicePath))
      errors.push(invalid(`${at}.devicePath`, device.devicePath, "must be unique"));
    if (device.devicePath && device.devicePath.split("/").includes(".."))
      errors.push(invalid(`${at}.devicePath`, device.devicePath, "can not contain backsteps ('..')"));
    names.add(device.name);
    paths.add(device.devicePath);
  }
  return errors;
}
