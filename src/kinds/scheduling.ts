/** What places pods: affinity, node selectors, tolerations, topology spread constraints, scheduling gates. */
import type {
  Affinity,
  NodeSelector,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  PodAffinityTerm,
  PodSpec,
  Toleration,
  TopologySpreadConstraint,
} from "kubernetes-types/core/v1.d.ts";
import { type FieldError, duplicate, forbidden, invalid, notSupported, required } from "./field-error.ts";
import { type LabelSelector, validateLabelSelector } from "./label-selector.ts";
import { dnsLabelErrors, dnsSubdomainErrors, labelValueErrors, qualifiedNameErrors } from "./names.ts";

export function validateAffinity(affinity: Affinity | undefined, path: string): FieldError[] {
  if (affinity === undefined) return [];
  const errors: FieldError[] = [];
  const node = affinity.nodeAffinity;
  const requiredAt = "requiredDuringSchedulingIgnoredDuringExecution";
  const preferredAt = "preferredDuringSchedulingIgnoredDuringExecution";
  if (node !== undefined) {
    const at = `${path}.nodeAffinity`;
    if (node[requiredAt] !== undefined)
      errors.push(...validateNodeSelector(node[requiredAt], `${at}.${requiredAt}`));
    for (const [index, each] of (node[preferredAt] ?? []).entries()) {
      errors.push(...weightErrors(each.weight, `${at}.${preferredAt}[${index}].weight`));
      errors.push(...validateNodeSelectorTerm(each.preference, `${at}.${preferredAt}[${index}].preference`));
    }
  }
  for (const kind of ["podAffinity", "podAntiAffinity"] as const) {
    const pods = affinity[kind];
    if (pods === undefined) continue;
    const at = `${path}.${kind}`;
    for (const [index, term] of (pods[requiredAt] ?? []).entries())
      errors.push(...validatePodAffinityTerm(term, `${at}.${requiredAt}[${index}]`));
    for (const [index, each] of (pods[preferredAt] ?? []).entries()) {
      errors.push(...weightErrors(each.weight, `${at}.${preferredAt}[${index}].weight`));
      errors.push(
        ...validatePodAffinityTerm(each.podAffinityTerm, `${at}.${preferredAt}[${index}].podAffinityTerm`),
      );
    }
  }
  return errors;
}

export function validateNodeSelector(selector: NodeSelector, path: string): FieldError[] {
  const terms = selector.nodeSelectorTerms ?? [];
  if (terms.length === 0)
    return [required(`${path}.nodeSelectorTerms`, "must have at least one node selector term")];
  return terms.flatMap((term, index) =>
    validateNodeSelectorTerm(term, `${path}.nodeSelectorTerms[${index}]`),
  );
}

export function validateNodeSelectorTerm(term: NodeSelectorTerm, path: string): FieldError[] {
  return [
    ...(term.matchExpressions ?? []).flatMap((each, index) =>
      validateExpression(each, `${path}.matchExpressions[${index}]`),
    ),
    ...(term.matchFields ?? []).flatMap((each, index) =>
      validateField(each, `${path}.matchFields[${index}]`),
    ),
  ];
}

function validateExpression(each: NodeSelectorRequirement, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const count = each.values?.length ?? 0;
  switch (each.operator) {
    case "In":
    case "NotIn":
      if (count === 0)
        errors.push(required(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
      break;
    case "Exists":
    case "DoesNotExist":
      if (count > 0)
        errors.push(
          forbidden(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
        );
      break;
    case "Gt":
    case "Lt":
      if (count !== 1)
        errors.push(
          required(`${path}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'"),
        );
      break;
    default:
      errors.push(invalid(`${path}.operator`, each.operator ?? "", "not a valid selector operator"));
  }
  return [
    ...errors,
    ...qualifiedNameErrors(each.key ?? "").map((text) => invalid(`${path}.key`, each.key ?? "", text)),
  ];
}

function validateField(each: NodeSelectorRequirement, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (each.operator === "In" || each.operator === "NotIn") {
    if (each.values?.length !== 1)
      errors.push(
        required(
          `${path}.values`,
          "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
        ),
      );
  } else errors.push(invalid(`${path}.operator`, each.operator ?? "", "not a valid selector operator"));
  if (each.key === "metadata.name")
    for (const [index, value] of (each.values ?? []).entries())
      errors.push(
        ...dnsSubdomainErrors(value).map((text) => invalid(`${path}.values[${index}]`, value, text)),
      );
  else errors.push(invalid(`${path}.key`, each.key ?? "", "not a valid field selector key"));
  return errors;
}

function validatePodAffinityTerm(term: PodAffinityTerm, path: string): FieldError[] {
  const errors: FieldError[] = [
    ...validateLabelSelector(term.labelSelector as LabelSelector | undefined, `${path}.labelSelector`),
    ...validateLabelSelector(
      term.namespaceSelector as LabelSelector | undefined,
      `${path}.namespaceSelector`,
    ),
  ];
  for (const name of term.namespaces ?? [])
    errors.push(...dnsLabelErrors(name).map((each) => invalid(`${path}.namespace`, name, each)));
  errors.push(...matchLabelKeysErrors(term, path));
  if (!term.topologyKey) errors.push(required(`${path}.topologyKey`, "can not be empty"));
  return [
    ...errors,
    ...qualifiedNameErrors(term.topologyKey ?? "").map((each) =>
      invalid(`${path}.topologyKey`, term.topologyKey ?? "", each),
    ),
  ];
}

function matchLabelKeysErrors(term: PodAffinityTerm, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { matchLabelKeys, mismatchLabelKeys } = term;
  for (const [field, keys] of Object.entries({ matchLabelKeys, mismatchLabelKeys })) {
    if (keys === undefined || keys.length === 0) continue;
    if (term.labelSelector === undefined) {
      errors.push(forbidden(`${path}.${field}`, "must not be specified when labelSelector is not set"));
      continue;
    }
    for (const [index, key] of keys.entries())
      errors.push(
        ...qualifiedNameErrors(key).map((each) => invalid(`${path}.${field}[${index}]`, key, each)),
      );
  }
  return errors;
}

function weightErrors(weight: number, path: string): FieldError[] {
  return weight < 1 || weight > 100 ? [invalid(path, weight, "must be in the range 1-100")] : [];
}

export function validateTolerations(
  tolerations: readonly Toleration[] | undefined,
  path: string,
  /** What is shown where only the operator or the value is wrong. */
  shown: (toleration: Toleration) => unknown = goToleration,
): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, each] of (tolerations ?? []).entries()) {
    const at = `${path}[${index}]`;
    const { key = "", operator = "", value = "", effect = "" } = each;
    if (key !== "") errors.push(...qualifiedNameErrors(key).map((text) => invalid(`${at}.key`, key, text)));
    if (key === "" && operator !== "Exists")
      errors.push(
        invalid(
          `${at}.operator`,
          operator,
          'operator must be Exists when `key` is empty, which means "match all values and all keys"',
        ),
      );
    if (each.tolerationSeconds !== undefined && effect !== "NoExecute")
      errors.push(
        invalid(`${at}.effect`, effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"),
      );
    if (operator === "Equal" || operator === "") {
      errors.push(...labelValueErrors(value).map((text) => invalid(`${at}.operator`, value, text)));
    } else if (operator === "Exists") {
      if (value !== "")
        errors.push(
          invalid(`${at}.operator`, shown(each), "value must be empty when `operator` is 'Exists'"),
        );
    } else errors.push(notSupported(`${at}.operator`, operator, ["Equal", "Exists"]));
    if (effect !== "")
      errors.push(
        ...taintEffectErrors(effect, `${at}.effect`, ["NoSchedule", "PreferNoSchedule", "NoExecute"]),
      );
  }
  return errors;
}

export function taintEffectErrors(effect: string, path: string, supported: readonly string[]): FieldError[] {
  if (supported.includes(effect)) return [];
  return effect === "" ? [required(path)] : [notSupported(path, effect, supported)];
}

export function goToleration(each: Toleration): { goSyntax: string } {
  return {
    goSyntax: `core.Toleration{Key:${JSON.stringify(each.key ?? "")}, Operator:${JSON.stringify(each.operator ?? "")}, Value:${JSON.stringify(each.value ?? "")}, Effect:${JSON.stringify(each.effect ?? "")}, TolerationSeconds:(*int64)(${each.tolerationSeconds === undefined ? "nil" : "0xc000000000"})}`,
  };
}

export function validateTopologySpread(
  constraints: readonly TopologySpreadConstraint[] | undefined,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const list = constraints ?? [];
  for (const [index, each] of list.entries()) {
    const at = `${path}[${index}]`;
    const action = each.whenUnsatisfiable ?? "";
    if (each.maxSkew <= 0) errors.push(invalid(`${at}.maxSkew`, each.maxSkew, "must be greater than zero"));
    if (!each.topologyKey) errors.push(required(`${at}.topologyKey`, "can not be empty"));
    else
      errors.push(
        ...qualifiedNameErrors(each.topologyKey).map((text) =>
          invalid(`${at}.topologyKey`, each.topologyKey, text),
        ),
      );
    if (action !== "DoNotSchedule" && action !== "ScheduleAnyway")
      errors.push(notSupported(`${at}.whenUnsatisfiable`, action, ["DoNotSchedule", "ScheduleAnyway"]));
    const pair = (other: TopologySpreadConstraint): boolean =>
      other.topologyKey === each.topologyKey && other.whenUnsatisfiable === each.whenUnsatisfiable;
    if (list.slice(0, index).some(pair))
      errors.push(duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, `{${each.topologyKey}, ${action}}`));
    if (each.minDomains !== undefined) {
      if (each.minDomains <= 0)
        errors.push(invalid(`${at}.minDomains`, each.minDomains, "must be greater than zero"));
      if (action !== "DoNotSchedule")
        errors.push(
          invalid(
            `${at}.minDomains`,
            each.minDomains,
            `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${action}`,
          ),
        );
    }
    for (const field of ["nodeAffinityPolicy", "nodeTaintsPolicy"] as const) {
      const policy = each[field];
      if (policy !== undefined && policy !== "Honor" && policy !== "Ignore")
        errors.push(notSupported(`${at}.${field}`, policy, ["Honor", "Ignore"]));
    }
    const keys = each.matchLabelKeys ?? [];
    if (keys.length > 0) {
      if (each.labelSelector === undefined)
        errors.push(forbidden(`${at}.matchLabelKeys`, "must not be specified when labelSelector is not set"));
      else
        for (const [position, key] of keys.entries()) {
          errors.push(
            ...qualifiedNameErrors(key).map((text) =>
              invalid(`${at}.matchLabelKeys[${position}]`, key, text),
            ),
          );
          const selector = each.labelSelector as LabelSelector;
          if (
            Object.hasOwn(selector.matchLabels ?? {}, key) ||
            selector.matchExpressions?.some((expression) => expression.key === key)
          )
            errors.push(
              invalid(
                `${at}.matchLabelKeys[${position}]`,
                key,
                "exists in both matchLabelKeys and labelSelector",
              ),
            );
        }
    }
    errors.push(
      ...validateLabelSelector(each.labelSelector as LabelSelector | undefined, `${at}.labelSelector`),
    );
  }
  return errors;
}

export function validateSchedulingGates(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [index, { name }] of (spec.schedulingGates ?? []).entries()) {
    const at = `${path}[${index}]`;
    errors.push(...qualifiedNameErrors(name ?? "").map((each) => invalid(at, name ?? "", each)));
    if (seen.has(name)) errors.push(duplicate(at, name));
    seen.add(name);
  }
  return errors;
}
