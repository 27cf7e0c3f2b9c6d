/** Webhooks of admission configurations, mutating and validating: defaults and validation. */
import { type FieldError, duplicate, invalid, notSupported, required } from "./field-error.ts";
import { type LabelSelector, validateLabelSelector } from "./label-selector.ts";
import { dnsSubdomainErrors } from "./names.ts";
import type { KubeObject } from "./object.ts";

interface Rule {
  operations?: string[];
  apiGroups?: string[];
  apiVersions?: string[];
  resources?: string[];
  scope?: string;
}

export interface Webhook {
  name: string;
  clientConfig: {
    url?: string;
    service?: { name?: string; namespace?: string; port?: number; path?: string };
  };
  rules?: Rule[];
  failurePolicy?: string;
  matchPolicy?: string;
  namespaceSelector?: LabelSelector;
  objectSelector?: LabelSelector;
  sideEffects?: string;
  timeoutSeconds?: number;
  admissionReviewVersions?: string[] | null;
  reinvocationPolicy?: string;
}

export interface WebhookConfigurationObject extends KubeObject {
  webhooks?: Webhook[];
}

export function defaultWebhooks(webhooks: readonly Webhook[], mutating: boolean): void {
  for (const each of webhooks) {
    each.failurePolicy ??= "Fail";
    each.matchPolicy ??= "Equivalent";
    each.namespaceSelector ??= {};
    each.objectSelector ??= {};
    each.timeoutSeconds ??= 10;
    if (mutating) each.reinvocationPolicy ??= "Never";
    for (const rule of each.rules ?? []) rule.scope ??= "*";
    if (each.clientConfig.service !== undefined) each.clientConfig.service.port ??= 443;
  }
}

export function validateWebhooks(webhooks: readonly Webhook[]): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [index, each] of webhooks.entries()) {
    const path = `webhooks[${index}]`;
    const name = each.name ?? "";
    errors.push(...qualifiedDomainErrors(name, `${path}.name`));
    if (name !== "" && names.has(name)) errors.push(duplicate(`${path}.name`, name));
    names.add(name);
    const versions = each.admissionReviewVersions ?? [];
    if (versions.length === 0)
      errors.push(required(`${path}.admissionReviewVersions`, "must specify one of v1, v1beta1"));
    else if (!versions.some((version) => version === "v1" || version === "v1beta1"))
      errors.push(
        invalid(
          `${path}.admissionReviewVersions`,
          { goSyntax: `[]string{${versions.map((version) => JSON.stringify(version)).join(", ")}}` },
          "must include at least one of v1, v1beta1",
        ),
      );
    for (const [position, rule] of (each.rules ?? []).entries())
      errors.push(...ruleErrors(rule, `${path}.rules[${position}]`));
    const choice = (
      field: "failurePolicy" | "matchPolicy" | "reinvocationPolicy",
      allowed: string[],
    ): void => {
      const value = each[field];
      if (value !== undefined && !allowed.includes(value))
        errors.push(notSupported(`${path}.${field}`, value, allowed));
    };
    choice("failurePolicy", ["Fail", "Ignore"]);
    choice("matchPolicy", ["Equivalent", "Exact"]);
    if (each.sideEffects === undefined)
      errors.push(required(`${path}.sideEffects`, "must specify one of None, NoneOnDryRun"));
    else if (!["None", "NoneOnDryRun"].includes(each.sideEffects))
      errors.push(notSupported(`${path}.sideEffects`, each.sideEffects, ["None", "NoneOnDryRun"]));
    const timeout = each.timeoutSeconds;
    if (timeout !== undefined && (timeout > 30 || timeout < 1))
      errors.push(
        invalid(`${path}.timeoutSeconds`, timeout, "the timeout value must be between 1 and 30 seconds"),
      );
    errors.push(
      ...validateLabelSelector(each.namespaceSelector, `${path}.namespaceSelector`),
      ...validateLabelSelector(each.objectSelector, `${path}.objectSelector`),
    );
    choice("reinvocationPolicy", ["IfNeeded", "Never"]);
    errors.push(...clientErrors(each.clientConfig, `${path}.clientConfig`));
  }
  return errors;
}

function qualifiedDomainErrors(name: string, path: string): FieldError[] {
  if (name === "") return [required(path)];
  const errors = dnsSubdomainErrors(name).map((each) => invalid(path, name, each));
  if (errors.length === 0 && name.split(".").length < 3)
    return [invalid(path, name, "should be a domain with at least three segments separated by dots")];
  return errors;
}

const operations = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

function ruleErrors(rule: Rule, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const field of ["operations", "apiGroups", "apiVersions", "resources"] as const)
    if ((rule[field] ?? []).length === 0) errors.push(required(`${path}.${field}`));
  for (const field of ["apiVersions", "resources"] as const)
    for (const [index, each] of (rule[field] ?? []).entries())
      if (each === "") errors.push(required(`${path}.${field}[${index}]`));
  for (const [index, each] of (rule.operations ?? []).entries())
    if (!operations.includes(each))
      errors.push(notSupported(`${path}.operations[${index}]`, each, operations));
  if (rule.scope !== undefined && !["*", "Cluster", "Namespaced"].includes(rule.scope))
    errors.push(notSupported(`${path}.scope`, rule.scope, ["*", "Cluster", "Namespaced"]));
  return errors;
}

function clientErrors({ url, service }: Webhook["clientConfig"], path: string): FieldError[] {
  if ((url === undefined) === (service === undefined))
    return [required(path, "exactly one of url or service is required")];
  if (service === undefined) return [];
  const errors: FieldError[] = [];
  // Upstream passes these two in the wrong order and names the other one.
  if (!service.name) errors.push(required(`${path}.service.namespace`, "service namespace is required"));
  if (!service.namespace) errors.push(required(`${path}.service.name`, "service name is required"));
  const port = service.port ?? 443;
  if (port < 1 || port > 65535)
    errors.push(
      invalid(`${path}.service.port`, port, "port is not valid: must be between 1 and 65535, inclusive"),
    );
  if (service.path !== undefined && !service.path.startsWith("/"))
    errors.push(invalid(`${path}.service.path`, service.path, "must start with a '/'"));
  return errors;
}
