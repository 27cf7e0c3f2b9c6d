/**
 * ValidatingAdmissionPolicy: policies in CEL that refuse, warn of, or audit requests, put into force by
 * bindings (k8s.io/apiserver, admission/plugin/policy/validating). Matching is by the version of the
 * request; `authorizer` and audit annotations are not implemented.
 */
import { StatusError, statusReasons } from "#base/errors.ts";
import type { StatusReason } from "#base/errors.ts";
import { matchesLabelSelector } from "#kinds/label-selector.ts";
import type { LabelSelector } from "#kinds/label-selector.ts";
import type { KubeObject } from "#kinds/object.ts";
import { CelCompileError, compileExpression, firstLine } from "#api/cel/environment.ts";
import { toCel } from "#api/cel/values.ts";
import type { Entry } from "#api/cache/entry.ts";
import { objectKey } from "#api/registry.ts";
import type { ResourceRegistry } from "#api/registry.ts";
import { qualified } from "#api/status.ts";
import type { AdmissionPlugin, AdmissionRequest } from "./admission.ts";

interface Rule {
  apiGroups?: string[];
  apiVersions?: string[];
  operations?: string[];
  resources?: string[];
  resourceNames?: string[];
  scope?: string;
}

interface MatchResources {
  namespaceSelector?: LabelSelector;
  objectSelector?: LabelSelector;
  resourceRules?: Rule[];
  excludeResourceRules?: Rule[];
}

interface Policy extends KubeObject {
  spec: {
    paramKind?: { apiVersion?: string; kind?: string };
    matchConstraints?: MatchResources;
    matchConditions?: { name: string; expression: string }[];
    variables?: { name: string; expression: string }[];
    validations?: { expression: string; message?: string; messageExpression?: string; reason?: string }[];
    failurePolicy?: "Fail" | "Ignore";
  };
}

interface Binding extends KubeObject {
  spec: {
    policyName?: string;
    paramRef?: {
      name?: string;
      namespace?: string;
      selector?: LabelSelector;
      parameterNotFoundAction?: "Allow" | "Deny";
    };
    matchResources?: MatchResources;
    validationActions?: ("Deny" | "Warn" | "Audit")[];
  };
}

interface Verdict {
  message: string;
  reason: string;
}

const group = "admissionregistration.k8s.io";

/** What could lock everybody out for good is never subject to policies. */
const exempt = new Set([
  "validatingadmissionpolicies",
  "validatingadmissionpolicybindings",
  "validatingwebhookconfigurations",
  "mutatingwebhookconfigurations",
]);

const variableNames = ["object", "oldObject", "request", "params", "namespaceObject", "variables"];

export function validatingAdmissionPolicy(registry: ResourceRegistry): AdmissionPlugin {
  return {
    name: "ValidatingAdmissionPolicy",
    validate(request) {
      const bindings = objects<Binding>(registry, "validatingadmissionpolicybindings");
      if (bindings.length === 0) return;
      const { kind } = request.resource;
      if (kind.group === group && exempt.has(kind.plural)) return;
      const policies = new Map(
        objects<Policy>(registry, "validatingadmissionpolicies").map((each) => [each.metadata.name, each]),
      );
      const denials: { verdict: Verdict; text: string }[] = [];
      for (const binding of bindings) {
        const policy = policies.get(binding.spec.policyName ?? "");
        if (policy === undefined) continue;
        const names = `ValidatingAdmissionPolicy '${policy.metadata.name ?? ""}' with binding '${binding.metadata.name ?? ""}'`;
        for (const verdict of judge(registry, policy, binding, request)) {
          const actions = binding.spec.validationActions ?? [];
          if (actions.includes("Deny"))
            denials.push({ verdict, text: `${names} denied request: ${verdict.message}` });
          if (actions.includes("Warn"))
            request.warnings.push(`Validation failed for ${names}: ${verdict.message}`);
        }
      }
      const [first] = denials;
      if (first === undefined) return;
      throw refusal(
        request,
        first.verdict.reason,
        denials.map((each) => each.text),
      );
    },
  };
}

/** Decoded policies and bindings, by their cache entries: they change rarely and are needed at each write. */
const decoded = new WeakMap<Entry, KubeObject>();

function objects<T extends KubeObject>(registry: ResourceRegistry, plural: string): T[] {
  const entries = registry.builtIn(group, plural).stored?.cache.list("") ?? [];
  return entries.map((entry) => {
    let object = decoded.get(entry);
    if (object === undefined) decoded.set(entry, (object = entry.decode()));
    return object as T;
  });
}

function refusal(request: AdmissionRequest, reason: string, texts: readonly string[]): StatusError {
  const { groupResource } = request.resource;
  const known = reason in statusReasons ? (reason as StatusReason) : "Invalid";
  return new StatusError(
    known,
    `${qualified(groupResource)} ${JSON.stringify(request.name)} is forbidden: ${texts[0] ?? ""}`,
    {
      details: {
        name: request.name,
        ...(groupResource.group === "" ? {} : { group: groupResource.group }),
        kind: groupResource.resource,
        causes: texts.map((message) => ({ message })),
      },
    },
  );
}

/** The validations of one policy, under one binding, that this request fails. */
function judge(
  registry: ResourceRegistry,
  policy: Policy,
  binding: Binding,
  request: AdmissionRequest,
): Verdict[] {
  const { spec } = policy;
  const namespace = namespaceOf(registry, request);
  if (!matches(spec.matchConstraints, request, namespace, true)) return [];
  if (!matches(binding.spec.matchResources, request, namespace, false)) return [];
  const fails = (spec.failurePolicy ?? "Fail") === "Fail";
  const base = {
    object: request.object === undefined ? null : toCel(request.object),
    oldObject: request.old === undefined ? null : toCel(request.old),
    request: toCel(requestVariable(request)),
    namespaceObject: namespace === undefined ? null : toCel(namespace),
    params: null as unknown,
  };
  let isMatch: boolean;
  try {
    isMatch = (spec.matchConditions ?? []).every(
      (each) => evaluate(each.expression, withVariables(base, policy)) === true,
    );
  } catch (error) {
    return fails
      ? [{ message: `failed to evaluate match conditions: ${firstLine(error)}`, reason: "Invalid" }]
      : [];
  }
  if (!isMatch) return [];
  const params = paramsOf(registry, policy, binding, request);
  if (params === "missing") {
    const denies = binding.spec.paramRef?.parameterNotFoundAction === "Deny" && fails;
    return denies
      ? [
          {
            message:
              "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction",
            reason: "Invalid",
          },
        ]
      : [];
  }
  return params.flatMap((each) =>
    failures(
      policy,
      withVariables({ ...base, params: each === undefined ? null : toCel(each) }, policy),
      fails,
    ),
  );
}

function failures(policy: Policy, context: Record<string, unknown>, fails: boolean): Verdict[] {
  const result: Verdict[] = [];
  for (const validation of policy.spec.validations ?? []) {
    const { expression, message, messageExpression, reason = "Invalid" } = validation;
    try {
      if (evaluate(expression, context) === true) continue;
    } catch (error) {
      if (fails)
        result.push({
          message: `expression '${expression}' resulted in error: ${firstLine(error)}`,
          reason: "Invalid",
        });
      continue;
    }
    result.push({
      message:
        madeMessage(messageExpression, context) ??
        (message === undefined || message === ""
          ? `failed expression: ${expression.trim()}`
          : message.trim()),
      reason,
    });
  }
  return result;
}

/** Undefined where the expression does not give a usable text: the fixed message is used then. */
function madeMessage(expression: string | undefined, context: Record<string, unknown>): string | undefined {
  if (expression === undefined || expression === "") return undefined;
  try {
    const text = evaluate(expression, context);
    return typeof text === "string" && text.trim() !== "" ? text.trim() : undefined;
  } catch {
    return undefined;
  }
}

const compiled = new Map<string, ReturnType<typeof compileExpression> | CelCompileError>();
const compiledMax = 2_000;

function evaluate(text: string, context: Record<string, unknown>): unknown {
  let expression = compiled.get(text);
  if (expression === undefined) {
    try {
      expression = compileExpression(text, variableNames);
    } catch (error) {
      if (!(error instanceof CelCompileError)) throw error;
      expression = error;
    }
    if (compiled.size >= compiledMax) compiled.clear();
    compiled.set(text, expression);
  }
  if (expression instanceof CelCompileError) throw expression;
  return expression.evaluate(context);
}

/** The context with the policy's variables, each evaluated when it is first used. */
function withVariables(base: Record<string, unknown>, policy: Policy): Record<string, unknown> {
  const variables: Record<string, unknown> = {};
  const context = { ...base, variables };
  for (const { name, expression } of policy.spec.variables ?? []) {
    let value: { known: unknown } | undefined;
    Object.defineProperty(variables, name, {
      enumerable: true,
      get: () => (value ??= { known: evaluate(expression, context) }).known,
    });
  }
  return context;
}

function requestVariable(request: AdmissionRequest): Record<string, unknown> {
  const { kind } = request.resource;
  const gvk = { group: kind.group, version: kind.version, kind: kind.kind };
  const gvr = { group: kind.group, version: kind.version, resource: kind.plural };
  const { name, groups, uid, extra } = request.user;
  return {
    kind: gvk,
    resource: gvr,
    subResource: request.subresource,
    requestKind: gvk,
    requestResource: gvr,
    requestSubResource: request.subresource,
    name: request.name,
    namespace: request.namespace,
    operation: request.operation,
    userInfo: { username: name, groups: [...groups], uid: uid ?? "", extra: extra ?? {} },
    dryRun: request.dryRun,
  };
}

function namespaceOf(registry: ResourceRegistry, request: AdmissionRequest): KubeObject | undefined {
  const { stored } = registry.builtIn("", "namespaces");
  if (stored === undefined) return undefined;
  const { kind } = request.resource;
  if (kind.group === "" && kind.plural === "namespaces") return request.object ?? request.old;
  if (request.namespace === "") return undefined;
  return stored.cache.get(objectKey(stored, "", request.namespace))?.decode();
}

/** Without constraints a policy matches nothing, a binding everything. */
function matches(
  constraints: MatchResources | undefined,
  request: AdmissionRequest,
  namespace: KubeObject | undefined,
  needsRules: boolean,
): boolean {
  if (constraints === undefined) return !needsRules;
  const { resourceRules, excludeResourceRules, namespaceSelector, objectSelector } = constraints;
  if ((excludeResourceRules ?? []).some((rule) => ruleMatches(rule, request))) return false;
  const isListed = (resourceRules ?? []).some((rule) => ruleMatches(rule, request));
  if (!isListed && (needsRules || (resourceRules ?? []).length > 0)) return false;
  if (
    namespaceSelector !== undefined &&
    namespace !== undefined &&
    !matchesLabelSelector(namespaceSelector, namespace.metadata.labels ?? {})
  )
    return false;
  if (objectSelector === undefined) return true;
  return [request.object, request.old].some(
    (each) => each !== undefined && matchesLabelSelector(objectSelector, each.metadata.labels ?? {}),
  );
}

function ruleMatches(rule: Rule, request: AdmissionRequest): boolean {
  const { kind } = request.resource;
  const includes = (list: readonly string[] | undefined, value: string) =>
    list?.includes("*") === true || list?.includes(value) === true;
  const resource = request.subresource === "" ? kind.plural : `${kind.plural}/${request.subresource}`;
  const resources = rule.resources ?? [];
  const isResource = resources.some((pattern) => {
    if (pattern === "*/*" || pattern === resource) return true;
    if (pattern === "*") return request.subresource === "";
    if (pattern.endsWith("/*")) return pattern.slice(0, -2) === kind.plural;
    return pattern.startsWith("*/") && pattern.slice(2) === request.subresource;
  });
  const scope = kind.namespaced ? "Namespaced" : "Cluster";
  return (
    isResource &&
    includes(rule.apiGroups, kind.group) &&
    includes(rule.apiVersions, kind.version) &&
    includes(rule.operations, request.operation) &&
    [undefined, "*", scope].includes(rule.scope) &&
    ((rule.resourceNames ?? []).length === 0 || rule.resourceNames?.includes(request.name) === true)
  );
}

/** The parameter objects: one evaluation for each. `[undefined]`: the policy takes none. */
function paramsOf(
  registry: ResourceRegistry,
  policy: Policy,
  binding: Binding,
  request: AdmissionRequest,
): (KubeObject | undefined)[] | "missing" {
  const { paramKind } = policy.spec;
  const { paramRef } = binding.spec;
  if (paramKind === undefined || paramRef === undefined) return [undefined];
  const resource = [...registry.all()].find(
    (each) => each.groupVersion === paramKind.apiVersion && each.kind.kind === paramKind.kind,
  );
  const stored = resource?.stored;
  if (resource === undefined || stored === undefined) return "missing";
  const namespace = resource.namespaced ? (paramRef.namespace ?? request.namespace) : "";
  const found =
    paramRef.name !== undefined && paramRef.name !== ""
      ? [stored.cache.get(objectKey(stored, namespace, paramRef.name))?.decode()].filter(
          (each) => each !== undefined,
        )
      : stored.cache
          .list(namespace)
          .map((entry) => entry.decode())
          .filter((each) => matchesLabelSelector(paramRef.selector ?? {}, each.metadata.labels ?? {}));
  return found.length === 0 ? "missing" : found;
}
