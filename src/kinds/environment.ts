/** Environment variables of containers, and references to fields of the pod (the downward API). */
import type {
  Container,
  EnvFromSource,
  EnvVar,
  EnvVarSource,
  ObjectFieldSelector,
  ResourceFieldSelector,
} from "kubernetes-types/core/v1.d.ts";
import { type FieldError, invalid, notSupported, required } from "./field-error.ts";
import { configKeyErrors, dnsSubdomainErrors, envVarNameErrors, qualifiedNameErrors } from "./names.ts";
import { compareQuantities } from "./quantity.ts";

const envFields = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];
/** Every field label of pods that upstream's conversion knows. */
const podFieldLabels = [
  "metadata.annotations",
  "metadata.labels",
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.restartPolicy",
  "spec.schedulerName",
  "spec.serviceAccountName",
  "spec.hostNetwork",
  "status.phase",
  "status.podIP",
  "status.podIPs",
  "status.hostIP",
  "status.hostIPs",
  "spec.host",
  "status.nominatedNodeName",
];
const resources = [
  "limits.cpu",
  "limits.ephemeral-storage",
  "limits.memory",
  "requests.cpu",
  "requests.ephemeral-storage",
  "requests.memory",
];
const subscript = /^(.*)\['(.*)'\]$/s;

export function defaultEnvironment(container: Pick<Container, "env">): void {
  for (const variable of container.env ?? []) {
    const fieldRef = variable.valueFrom?.fieldRef;
    if (fieldRef !== undefined) fieldRef.apiVersion ||= "v1";
    const resource = variable.valueFrom?.resourceFieldRef;
    if (resource !== undefined) resource.divisor ??= "0";
  }
}

export function validateEnv(variables: readonly EnvVar[] | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, variable] of (variables ?? []).entries()) {
    const at = `${path}[${index}]`;
    if (!variable.name) errors.push(required(`${at}.name`));
    else
      errors.push(
        ...envVarNameErrors(variable.name).map((each) => invalid(`${at}.name`, variable.name, each)),
      );
    if (variable.valueFrom !== undefined)
      errors.push(...validateValueFrom(variable.valueFrom, variable.value ?? "", `${at}.valueFrom`));
  }
  return errors;
}

function validateValueFrom(source: EnvVarSource, value: string, path: string): FieldError[] {
  const errors: FieldError[] = [];
  let count = 0;
  if (source.fieldRef !== undefined) {
    count += 1;
    errors.push(...validateFieldRef(source.fieldRef, envFields, `${path}.fieldRef`));
  }
  if (source.resourceFieldRef !== undefined) {
    count += 1;
    errors.push(...validateResourceFieldRef(source.resourceFieldRef, `${path}.resourceFieldRef`, false));
  }
  for (const field of ["configMapKeyRef", "secretKeyRef"] as const) {
    const reference = source[field];
    if (reference === undefined) continue;
    count += 1;
    errors.push(...referenceNameErrors(reference.name, `${path}.${field}.name`, false));
    if (!reference.key) errors.push(required(`${path}.${field}.key`));
    else
      errors.push(
        ...configKeyErrors(reference.key).map((each) => invalid(`${path}.${field}.key`, reference.key, each)),
      );
  }
  if (count === 0)
    errors.push(
      invalid(
        path,
        "",
        "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
      ),
    );
  else {
    if (value !== "") errors.push(invalid(path, "", "may not be specified when `value` is not empty"));
    if (count > 1) errors.push(invalid(path, "", "may not have more than one field specified at a time"));
  }
  return errors;
}

export function validateEnvFrom(sources: readonly EnvFromSource[] | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, source] of (sources ?? []).entries()) {
    if (source.prefix)
      errors.push(
        ...envVarNameErrors(source.prefix).map((each) =>
          invalid(`${path}[${index}].prefix`, source.prefix, each),
        ),
      );
    let count = 0;
    for (const field of ["configMapRef", "secretRef"] as const) {
      const reference = source[field];
      if (reference === undefined) continue;
      count += 1;
      errors.push(...referenceNameErrors(reference.name, `${path}[${index}].${field}.name`, true));
    }
    if (count === 0) errors.push(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"));
    else if (count > 1)
      errors.push(invalid(path, "", "may not have more than one field specified at a time"));
  }
  return errors;
}

/** A reference to a field of the pod; `allowed` are the paths that this place can read. */
export function validateFieldRef(
  reference: ObjectFieldSelector,
  allowed: readonly string[],
  path: string,
): FieldError[] {
  if (!reference.apiVersion) return [required(`${path}.apiVersion`)];
  if (!reference.fieldPath) return [required(`${path}.fieldPath`)];
  const [, base, key] = subscript.exec(reference.fieldPath) ?? [];
  if (base !== undefined && key !== undefined) {
    if (base === "metadata.annotations")
      return qualifiedNameErrors(key.toLowerCase()).map((each) => invalid(path, key, each));
    if (base === "metadata.labels") return qualifiedNameErrors(key).map((each) => invalid(path, key, each));
    return [invalid(path, base, `does not support subscript`)];
  }
  if (!podFieldLabels.includes(reference.fieldPath))
    return [
      invalid(
        `${path}.fieldPath`,
        reference.fieldPath,
        `error converting fieldPath: field label not supported: ${reference.fieldPath}`,
      ),
    ];
  if (!allowed.includes(reference.fieldPath))
    return [notSupported(`${path}.fieldPath`, reference.fieldPath, [...allowed].sort())];
  return [];
}

/** A reference to a container's request or limit. Volumes must name the container. */
export function validateResourceFieldRef(
  reference: ResourceFieldSelector,
  path: string,
  inVolume: boolean,
): FieldError[] {
  if (inVolume && !reference.containerName) return [required(`${path}.containerName`)];
  const { resource } = reference;
  if (!resource) return [required(`${path}.resource`)];
  if (!resources.includes(resource) && !/^(limits|requests)\.hugepages-/.test(resource))
    return [notSupported(`${path}.resource`, resource, resources)];
  const divisor = reference.divisor as string | undefined;
  return divisor === undefined ? [] : divisorErrors(resource, divisor, `${path}.divisor`);
}

function divisorErrors(resource: string, divisor: string, path: string): FieldError[] {
  const zero = compareQuantities(divisor, "0") === 0;
  const [, name = ""] = resource.split(/\.(.*)/s);
  if (name === "cpu")
    return zero || ["1m", "1"].includes(divisor)
      ? []
      : [invalid(path, resource, "only divisor's values 1m and 1 are supported with the cpu resource")];
  const allowed = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
  const what =
    name === "memory" ? "memory" : name === "ephemeral-storage" ? "local ephemeral storage" : "hugepages";
  return zero || allowed.includes(divisor)
    ? []
    : [
        invalid(
          path,
          resource,
          `only divisor's values ${allowed.slice(0, -1).join(", ")}, ${allowed.at(-1)} are supported with the ${what} resource`,
        ),
      ];
}

function referenceNameErrors(name: string | undefined, path: string, isRequired: boolean): FieldError[] {
  if (!name && isRequired) return [required(path)];
  return dnsSubdomainErrors(name ?? "").map((each) => invalid(path, name ?? "", each));
}
