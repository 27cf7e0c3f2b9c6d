/** Resource lists and requirements: which names are allowed where, and validation of their quantities. */
import type { ResourceRequirements } from "kubernetes-types/core/v1.d.ts";
import {
  type FieldError,
  type GoValue,
  duplicate,
  forbidden,
  invalid,
  notFound,
  required,
} from "./field-error.ts";
import { sortedEntries } from "./metadata.ts";
import { qualifiedNameErrors } from "./names.ts";
import { compareQuantities, formatQuantity, isWholeQuantity, parseQuantity } from "./quantity.ts";

export type ResourceList = Readonly<Record<string, string>>;

const containerResources = ["cpu", "memory", "ephemeral-storage"];
const standardResources = [
  ...containerResources,
  "requests.cpu",
  "requests.memory",
  "requests.ephemeral-storage",
  "limits.cpu",
  "limits.memory",
  "limits.ephemeral-storage",
  "pods",
  "resourcequotas",
  "services",
  "replicationcontrollers",
  "secrets",
  "configmaps",
  "persistentvolumeclaims",
  "storage",
  "requests.storage",
  "services.nodeports",
  "services.loadbalancers",
];
/** Counted objects and byte sizes: whole numbers only. */
const integerResources = [
  "pods",
  "resourcequotas",
  "services",
  "replicationcontrollers",
  "secrets",
  "configmaps",
  "persistentvolumeclaims",
  "services.nodeports",
  "services.loadbalancers",
];

export function isHugePages(name: string): boolean {
  return name.startsWith("hugepages-");
}

/** A name with a domain of its own ("example.com/gpu"), not kubernetes.io's. */
export function isExtendedResource(name: string): boolean {
  return (
    name.includes("/") &&
    !isNative(name) &&
    !name.startsWith("requests.") &&
    qualifiedNameErrors(`requests.${name}`).length === 0
  );
}

function isNative(name: string): boolean {
  return !name.includes("/") || name.includes("kubernetes.io/");
}

/** Resources of which requests may not exceed what is there: extended ones and huge pages. */
export function isOvercommitAllowed(name: string): boolean {
  return isNative(name) && !isHugePages(name);
}

/** Name of a resource in quotas, capacities and the like. */
export function resourceNameErrors(
  name: string,
  path: string,
  shownInSyntaxErrors: unknown = { goSyntax: name },
): FieldError[] {
  const errors = qualifiedNameErrors(name).map((each) => invalid(path, shownInSyntaxErrors, each));
  if (errors.length > 0) return errors;
  if (
    !name.includes("/") &&
    !standardResources.includes(name) &&
    !isHugePages(name) &&
    !isQuotaHugePages(name)
  )
    return [invalid(path, { goSyntax: name }, "must be a standard resource type or fully qualified")];
  return [];
}

/** Names without a domain that quotas may limit. */
export function isQuotaResource(name: string): boolean {
  return (
    (standardResources.includes(name) && name !== "storage") || isHugePages(name) || isQuotaHugePages(name)
  );
}

function isQuotaHugePages(name: string): boolean {
  return name.startsWith("requests.hugepages-");
}

/** Name of a resource in a container's requirements. */
export function containerResourceNameErrors(
  name: string,
  path: string,
  shownInSyntaxErrors: unknown = { goSyntax: name },
): FieldError[] {
  const errors = resourceNameErrors(name, path, shownInSyntaxErrors);
  if (!name.includes("/")) {
    if (!containerResources.includes(name) && !isHugePages(name))
      errors.push(invalid(path, { goSyntax: name }, "must be a standard resource for containers"));
  } else if (!isNative(name) && !isExtendedResource(name))
    errors.push(invalid(path, { goSyntax: name }, "doesn't follow extended resource name standard"));
  return errors;
}

/** A quantity of a resource: not negative, and whole where the resource is counted. */
export function resourceQuantityErrors(name: string, value: string, path: string): FieldError[] {
  const errors = nonNegativeQuantityErrors(value, path);
  if ((integerResources.includes(name) || isExtendedResource(name)) && !isWholeQuantity(parseQuantity(value)))
    errors.push(invalid(path, goQuantity(value), "must be an integer"));
  return errors;
}

export function nonNegativeQuantityErrors(value: string, path: string): FieldError[] {
  return compareQuantities(value, "0") < 0
    ? [invalid(path, value, "must be greater than or equal to 0")]
    : [];
}

/** %#v of a quantity that was read from text. */
export function goQuantity(text: string): GoValue {
  const quantity = parseQuantity(text);
  let value = quantity.nano < 0n ? -quantity.nano : quantity.nano;
  let scale = -9;
  while (value !== 0n && value % 10n === 0n) {
    value /= 10n;
    scale += 1;
  }
  if (scale > 0 || value === 0n) {
    value *= 10n ** BigInt(Math.max(scale, 0));
    scale = 0;
  }
  // Text like "500m" keeps the scale of its suffix.
  const suffixScale = { n: -9, u: -6, m: -3 }[text.at(-1) ?? ""];
  if (suffixScale !== undefined && suffixScale < scale) {
    value *= 10n ** BigInt(scale - suffixScale);
    scale = suffixScale;
  }
  return {
    goSyntax: `resource.Quantity{i:resource.int64Amount{value:${quantity.nano < 0n ? "-" : ""}${value}, scale:${scale}}, d:resource.infDecAmount{Dec:(*inf.Dec)(nil)}, s:${JSON.stringify(formatQuantity(quantity))}, Format:${JSON.stringify(quantity.format)}}`,
  };
}

/** Validates a container's requests and limits. `claimNames` are the pod's resource claims. */
export function validateResourceRequirements(
  resources: ResourceRequirements | undefined,
  claimNames: ReadonlySet<string>,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const limits = (resources?.limits ?? {}) as ResourceList;
  const requests = (resources?.requests ?? {}) as ResourceList;
  let hasHugePages = false;
  let hasCpuOrMemory = false;
  for (const [name, value] of sortedEntries(limits)) {
    const at = `${path}.limits[${name}]`;
    errors.push(...containerResourceNameErrors(name, at), ...resourceQuantityErrors(name, value, at));
    if (isHugePages(name)) {
      hasHugePages = true;
      if (!isWholeQuantity(parseQuantity(value))) errors.push(invalid(at, value, "must be an integer"));
    }
    hasCpuOrMemory ||= name === "cpu" || name === "memory";
  }
  for (const [name, value] of sortedEntries(requests)) {
    const at = `${path}.requests[${name}]`;
    errors.push(...containerResourceNameErrors(name, at), ...resourceQuantityErrors(name, value, at));
    const limit = limits[name];
    if (limit !== undefined) {
      const order = compareQuantities(value, limit);
      if (!isOvercommitAllowed(name) && order !== 0)
        errors.push(invalid(`${path}.requests`, value, `must be equal to ${name} limit of ${limit}`));
      else if (order > 0)
        errors.push(
          invalid(`${path}.requests`, value, `must be less than or equal to ${name} limit of ${limit}`),
        );
    } else if (!isOvercommitAllowed(name))
      errors.push(required(`${path}.limits`, "Limit must be set for non overcommitable resources"));
    hasHugePages ||= isHugePages(name);
    hasCpuOrMemory ||= name === "cpu" || name === "memory";
  }
  if (hasHugePages && !hasCpuOrMemory) errors.push(forbidden(path, "HugePages require cpu or memory"));
  const seen = new Set<string>();
  for (const [index, claim] of (resources?.claims ?? []).entries()) {
    const at = `${path}.claims[${index}]`;
    if (!claim.name) errors.push(required(`${at}.name`));
    else if (seen.has(claim.name)) errors.push(duplicate(at, claim.name));
    else if (!claimNames.has(claim.name)) errors.push(notFound(`${at}.name`, claim.name));
    seen.add(claim.name);
  }
  return errors;
}

/** Requests that are not given are the limits. */
export function defaultRequests(resources: ResourceRequirements | undefined): void {
  if (resources?.limits === undefined) return;
  for (const [name, value] of Object.entries(resources.limits)) {
    if (resources.requests?.[name] === undefined)
      resources.requests = { ...resources.requests, [name]: value };
  }
}
