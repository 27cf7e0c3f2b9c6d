/** Webhooks of admission configurations, mutating and validating: defaults and validation. */
import { type FieldError, duplicate, invalid, notSupported, required } from "./field-error.ts";
import { type LabelSelector, validateLabelSelector } from "./label-selector.ts";
import { dns1035LabelErrors, dnsSubdomainErrors, qualifiedNameErrors } from "./names.ts";
import { type OperationRule, validateOperationRule } from "./policy-rules.ts";
import type { KubeObject } from "./object.ts";

export interface MatchCondition {
  name?: string;
  expression?: string;
}

export interface Webhook {
  name: string;
  clientConfig: {
    url?: string;
    service?: { name?: string; namespace?: string; port?: number; path?: string };
  };
  rules?: OperationRule[];
  failurePolicy?: string;
  matchPolicy?: string;
  namespaceSelector?: LabelSelector;
  objectSelector?: LabelSelector;
  sideEffects?: string;
  timeoutSeconds?: number;
  admissionReviewVersions?: string[] | null;
  reinvocationPolicy?: string;
  matchConditions?: MatchCondition[];
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
    for (const [position, rule] of (each.rules ?? []).entries())
      errors.push(...validateOperationRule(rule, `${path}.rules[${position}]`));
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
    errors.push(
      ...webhookClientErrors(each.clientConfig, `${path}.clientConfig`),
      ...matchConditionErrors(each.matchConditions ?? [], `${path}.matchConditions`),
      ...reviewVersionErrors(each.admissionReviewVersions ?? [], `${path}.admissionReviewVersions`),
    );
    if (name !== "" && names.has(name)) errors.push(duplicate(`${path}.name`, name));
    names.add(name);
  }
  return errors;
}

/** The versions of reviews that a webhook understands. `missing` is said of an empty list. */
export function reviewVersionErrors(
  versions: readonly string[],
  path: string,
  missing = "must specify one of v1, v1beta1",
): FieldError[] {
  if (versions.length === 0) return [required(path, missing)];
  const errors: FieldError[] = [];
  for (const [index, version] of versions.entries()) {
    if (versions.indexOf(version) < index)
      errors.push(invalid(`${path}[${index}]`, version, "duplicate version"));
    else
      errors.push(...dns1035LabelErrors(version).map((each) => invalid(`${path}[${index}]`, version, each)));
  }
  if (!versions.some((version) => version === "v1" || version === "v1beta1"))
    errors.push(
      invalid(
        path,
        { goSyntax: `[]string{${versions.map((version) => JSON.stringify(version)).join(", ")}}` },
        "must include at least one of v1, v1beta1",
      ),
    );
  return errors;
}

/** Conditions of webhooks and policies. Whether an expression is one is up to the API, which has the language. */
export function matchConditionErrors(conditions: readonly MatchCondition[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [index, { name = "", expression = "" }] of conditions.entries()) {
    const at = `${path}[${index}]`;
    if (expression.trim() === "") errors.push(required(`${at}.expression`));
    if (name === "") errors.push(required(`${at}.name`));
    else if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
    else errors.push(...qualifiedNameErrors(name).map((each) => invalid(`${at}.name`, name, each)));
    names.add(name);
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

/** Where a webhook is: one of a URL and a Service. */
export function webhookClientErrors({ url, service }: Webhook["clientConfig"], path: string): FieldError[] {
  if ((url === undefined) === (service === undefined))
    return [required(path, "exactly one of url or service is required")];
  if (service === undefined) return webhookUrlErrors(url ?? "", `${path}.url`);
  const errors: FieldError[] = [];
  // Upstream passes these two in the wrong order and names the other one.
  if (!service.namespace) errors.push(required(`${path}.service.name`, "service name is required"));
  if (!service.name) errors.push(required(`${path}.service.namespace`, "service namespace is required"));
  const port = service.port ?? 443;
  if (port < 1 || port > 65535)
    errors.push(
      invalid(`${path}.service.port`, port, "port is not valid: must be between 1 and 65535, inclusive"),
    );
  return [...errors, ...urlPathErrors(service.path ?? "", `${path}.service.path`)];
}

const urlForm = "desired format: https://host[/path]";

/** `url` is taken apart by the rules of RFC 3986: these rooms have no URL class, and its would mend what is wrong. */
function webhookUrlErrors(url: string, path: string): FieldError[] {
  const parts = /^(?:([^:/?#]+):)?(?:\/\/(?:([^/?#@]*)@)?([^/?#]*))?[^?#]*(?:\?([^#]*))?(?:#(.*))?$/s.exec(
    url,
  );
  const [, scheme = "", user, host = "", query, fragment] = parts ?? [];
  const errors: FieldError[] = [];
  if (scheme !== "https")
    errors.push(invalid(path, scheme, `'https' is the only allowed URL scheme; ${urlForm}`));
  if (host === "") errors.push(invalid(path, host, `host must be specified; ${urlForm}`));
  if (user !== undefined) errors.push(invalid(path, user, "user information is not permitted in the URL"));
  if (fragment !== undefined && fragment !== "")
    errors.push(invalid(path, fragment, "fragments are not permitted in the URL"));
  if (query !== undefined && query !== "")
    errors.push(invalid(path, query, "query parameters are not permitted in the URL"));
  return errors;
}

function urlPathErrors(urlPath: string, path: string): FieldError[] {
  if (urlPath === "" || urlPath === "/") return [];
  if (urlPath === "//") return [invalid(path, urlPath, "segment[0] may not be empty")];
  const errors: FieldError[] = [];
  if (!urlPath.startsWith("/")) errors.push(invalid(path, urlPath, "must start with a '/'"));
  const segments = urlPath.slice(1).replace(/\/$/, "").split("/");
  for (const [index, segment] of segments.entries()) {
    if (segment === "") errors.push(invalid(path, urlPath, `segment[${index}] may not be empty`));
    else
      errors.push(
        ...dnsSubdomainErrors(segment).map((each) => invalid(path, urlPath, `segment[${index}]: ${each}`)),
      );
  }
  return errors;
}
