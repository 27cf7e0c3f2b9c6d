/**
 * What admission policies, their bindings and webhooks share: rules that name operations and resources,
 * and what else narrows down the requests (k8s.io/kubernetes, apis/admissionregistration/validation).
 */
import { type FieldError, duplicate, invalid, notSupported, required } from "./field-error.ts";
import { type LabelSelector, validateLabelSelector } from "./label-selector.ts";

export interface OperationRule {
  operations?: string[] | null;
  apiGroups?: string[] | null;
  apiVersions?: string[] | null;
  resources?: string[] | null;
  resourceNames?: string[] | null;
  scope?: string;
}

export interface MatchResources {
  matchPolicy?: string;
  namespaceSelector?: LabelSelector;
  objectSelector?: LabelSelector;
  resourceRules?: OperationRule[] | null;
  excludeResourceRules?: OperationRule[] | null;
}

const operations = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const scopes = ["*", "Cluster", "Namespaced"];

export function defaultMatchResources(match: MatchResources | undefined): void {
  if (match === undefined) return;
  match.matchPolicy ??= "Equivalent";
  match.namespaceSelector ??= {};
  match.objectSelector ??= {};
  for (const rule of [...(match.resourceRules ?? []), ...(match.excludeResourceRules ?? [])])
    rule.scope ??= "*";
}

export function validateMatchResources(match: MatchResources, path: string): FieldError[] {
  const { matchPolicy = "" } = match;
  const errors: FieldError[] = [];
  if (!["Equivalent", "Exact"].includes(matchPolicy))
    errors.push(notSupported(`${path}.matchPolicy`, matchPolicy, ["Equivalent", "Exact"]));
  errors.push(
    ...validateLabelSelector(match.namespaceSelector, `${path}.namespaceSelector`),
    ...validateLabelSelector(match.objectSelector, `${path}.objectSelector`),
  );
  for (const field of ["resourceRules", "excludeResourceRules"] as const)
    for (const [index, rule] of (match[field] ?? []).entries())
      errors.push(...validateOperationRule(rule, `${path}.${field}[${index}]`));
  return errors;
}

export function validateOperationRule(rule: OperationRule, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = rule.resourceNames ?? [];
  for (const [index, name] of names.entries())
    if (names.indexOf(name) < index) errors.push(duplicate(`${path}.resourceNames[${index}]`, name));
  errors.push(
    ...wildcardErrors(
      rule.operations,
      `${path}.operations`,
      "operations",
      "admissionregistration.OperationType",
    ),
  );
  for (const [index, each] of (rule.operations ?? []).entries())
    if (!operations.includes(each))
      errors.push(notSupported(`${path}.operations[${index}]`, each, operations));
  errors.push(
    ...wildcardErrors(rule.apiGroups, `${path}.apiGroups`, "API groups"),
    ...wildcardErrors(rule.apiVersions, `${path}.apiVersions`, "API versions"),
  );
  for (const [index, each] of (rule.apiVersions ?? []).entries())
    if (each === "") errors.push(required(`${path}.apiVersions[${index}]`));
  errors.push(...resourceErrors(rule.resources ?? [], `${path}.resources`));
  if (rule.scope !== undefined && !scopes.includes(rule.scope))
    errors.push(notSupported(`${path}.scope`, rule.scope, scopes));
  return errors;
}

/** Resources with subresources: one wildcard must not say again what another says. */
function resourceErrors(resources: readonly string[], path: string): FieldError[] {
  if (resources.length === 0) return [required(path)];
  const errors: FieldError[] = [];
  const anySubresource = new Set<string>();
  const anyResource = new Set<string>();
  let hasPlain = false;
  for (const [index, each] of resources.entries()) {
    const at = `${path}[${index}]`;
    if (each === "") {
      errors.push(required(at));
      continue;
    }
    const slash = each.indexOf("/");
    if (slash < 0) {
      hasPlain = each !== "*";
      continue;
    }
    const [resource, subresource] = [each.slice(0, slash), each.slice(slash + 1)];
    if (anySubresource.has(resource))
      errors.push(invalid(at, each, `if '${resource}/*' is present, must not specify ${each}`));
    if (anyResource.has(subresource))
      errors.push(invalid(at, each, `if '*/${subresource}' is present, must not specify ${each}`));
    if (subresource === "*") anySubresource.add(resource);
    if (resource === "*") anyResource.add(subresource);
  }
  if (resources.length > 1 && resources.includes("*/*"))
    errors.push(invalid(path, goList(resources), "if '*/*' is present, must not specify other resources"));
  if (resources.includes("*") && hasPlain)
    errors.push(
      invalid(
        path,
        goList(resources),
        "if '*' is present, must not specify other resources without subresources",
      ),
    );
  return errors;
}

function wildcardErrors(
  list: readonly string[] | null | undefined,
  path: string,
  what: string,
  goType = "string",
): FieldError[] {
  const given = list ?? [];
  if (given.length === 0) return [required(path)];
  if (given.length === 1 || !given.includes("*")) return [];
  return [invalid(path, goList(given, goType), `if '*' is present, must not specify other ${what}`)];
}

function goList(list: readonly string[], goType = "string"): { goSyntax: string } {
  return { goSyntax: `[]${goType}{${list.map((each) => JSON.stringify(each)).join(", ")}}` };
}
