/** Metrics and scaling behavior of HorizontalPodAutoscalers (autoscaling/v2): defaults and validation. */
import type {
  HPAScalingRules,
  HorizontalPodAutoscalerBehavior,
  MetricSpec,
  MetricTarget,
} from "kubernetes-types/autoscaling/v2.d.ts";
import { isGivenEmpty } from "./decode.ts";
import { targetReferenceErrors } from "./autoscaling.ts";
import { type FieldError, forbidden, invalid, notSupported, required } from "./field-error.ts";
import { type LabelSelector, validateLabelSelector } from "./label-selector.ts";
import { dnsLabelErrors, pathSegmentErrors } from "./names.ts";
import { compareQuantities } from "./quantity.ts";
import { containerResourceNameErrors } from "./resource-list.ts";

const types = ["ContainerResource", "External", "Object", "Pods", "Resource"];
const sourceOf: Readonly<Record<string, keyof MetricSpec>> = {
  ContainerResource: "containerResource",
  External: "external",
  Object: "object",
  Pods: "pods",
  Resource: "resource",
};
const fields = ["object", "pods", "resource", "containerResource", "external"] as const;

export function defaultBehavior(behavior: HorizontalPodAutoscalerBehavior | undefined): void {
  if (behavior === undefined) return;
  const noneGiven = (rules: HPAScalingRules | undefined): HPAScalingRules =>
    isGivenEmpty(rules, "policies") ? { policies: [] } : {};
  behavior.scaleUp = {
    stabilizationWindowSeconds: 0,
    selectPolicy: "Max",
    policies: [
      { type: "Pods", value: 4, periodSeconds: 15 },
      { type: "Percent", value: 100, periodSeconds: 15 },
    ],
    ...noneGiven(behavior.scaleUp),
    ...behavior.scaleUp,
  };
  behavior.scaleDown = {
    selectPolicy: "Max",
    policies: [{ type: "Percent", value: 100, periodSeconds: 15 }],
    ...noneGiven(behavior.scaleDown),
    ...behavior.scaleDown,
  };
}

export function validateMetrics(metrics: readonly MetricSpec[], path: string): FieldError[] {
  return metrics.flatMap((metric, index) => validateMetric(metric, `${path}[${index}]`));
}

function validateMetric(metric: MetricSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const type = metric.type ?? "";
  if (type === "") errors.push(required(`${path}.type`, "must specify a metric source type"));
  // Upstream looks twice.
  if (!types.includes(type))
    errors.push(notSupported(`${path}.type`, type, types), notSupported(`${path}.type`, type, types));
  const given: string[] = [];
  const add = (field: string, found: FieldError[]): void => {
    given.push(field);
    if (given.length === 1) errors.push(...found);
  };
  const { object, external, pods, resource, containerResource } = metric;
  if (object !== undefined)
    add("object", [
      ...targetReferenceErrors(object.describedObject, `${path}.object.describedObject`),
      ...metricNameErrors(object.metric, `${path}.object.metric`),
      ...targetErrors(object.target, `${path}.object.target`),
      ...eitherValueErrors(
        object.target,
        `${path}.object.target.averageValue`,
        "must set either a target value or averageValue",
      ),
    ]);
  if (external !== undefined)
    add("external", [
      ...metricNameErrors(external.metric, `${path}.external.metric`),
      ...targetErrors(external.target, `${path}.external.target`),
      ...eitherValueErrors(
        external.target,
        `${path}.external.target.averageValue`,
        "must set either a target value for metric or a per-pod target",
      ),
      ...(external.target.value !== undefined && external.target.averageValue !== undefined
        ? [
            forbidden(
              `${path}.external.target.value`,
              "may not set both a target value for metric and a per-pod target",
            ),
          ]
        : []),
    ]);
  if (pods !== undefined)
    add("pods", [
      ...metricNameErrors(pods.metric, `${path}.pods.metric`),
      ...targetErrors(pods.target, `${path}.pods.target`),
      ...(pods.target.averageValue === undefined ||
      compareQuantities(String(pods.target.averageValue), "0") <= 0
        ? [required(`${path}.pods.target.averageValue`, "must specify a positive target averageValue")]
        : []),
    ]);
  if (containerResource !== undefined) {
    const at = `${path}.containerResource`;
    const { name, container } = containerResource;
    add("containerResource", [
      ...(name
        ? // The syntax of the name is checked as text, its meaning as a resource.
          containerResourceNameErrors(name, `${at}.name`, name)
        : [required(`${at}.name`, "must specify a resource name")]),
      ...(container
        ? dnsLabelErrors(container).map((each) => invalid(`${at}.container`, container, each))
        : [required(`${at}.container`, "must specify a container")]),
      ...resourceTargetErrors(containerResource.target, `${at}.target`),
    ]);
  }
  if (resource !== undefined)
    add("resource", [
      ...(resource.name ? [] : [required(`${path}.resource.name`, "must specify a resource name")]),
      ...resourceTargetErrors(resource.target, `${path}.resource.target`),
    ]);
  const expected = sourceOf[type];
  if (expected !== undefined && !given.includes(expected))
    errors.push(required(`${path}.${expected}`, "must populate information for the given metric source"));
  if (given.length > 1)
    for (const field of fields)
      if (field !== expected && given.includes(field))
        errors.push(forbidden(`${path}.${field}`, "must populate the given metric source only"));
  return errors;
}

function metricNameErrors(
  metric: { name?: string; selector?: LabelSelector } | undefined,
  path: string,
): FieldError[] {
  const name = metric?.name ?? "";
  return [
    ...(name === ""
      ? [required(`${path}.name`, "must specify a metric name")]
      : pathSegmentErrors(name).map((each) => invalid(`${path}.name`, name, each))),
    ...validateLabelSelector(metric?.selector, `${path}.selector`),
  ];
}

function targetErrors(target: MetricTarget, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const type = target.type ?? "";
  if (type === "") errors.push(required(`${path}.type`, "must specify a metric target type"));
  if (!["Utilization", "Value", "AverageValue"].includes(type))
    errors.push(invalid(`${path}.type`, type, "must be either Utilization, Value, or AverageValue"));
  for (const field of ["value", "averageValue"] as const) {
    const value = target[field] as string | undefined;
    if (value !== undefined && compareQuantities(value, "0") <= 0)
      errors.push(invalid(`${path}.${field}`, value, "must be positive"));
  }
  if (target.averageUtilization !== undefined && target.averageUtilization < 1)
    errors.push(invalid(`${path}.averageUtilization`, target.averageUtilization, "must be greater than 0"));
  return errors;
}

function eitherValueErrors(target: MetricTarget, path: string, detail: string): FieldError[] {
  return target.value === undefined && target.averageValue === undefined ? [required(path, detail)] : [];
}

function resourceTargetErrors(target: MetricTarget, path: string): FieldError[] {
  const errors = targetErrors(target, path);
  if (target.averageUtilization === undefined && target.averageValue === undefined)
    errors.push(
      required(`${path}.averageUtilization`, "must set either a target raw value or a target utilization"),
    );
  if (target.averageUtilization !== undefined && target.averageValue !== undefined)
    errors.push(
      forbidden(`${path}.averageValue`, "may not set both a target raw value and a target utilization"),
    );
  return errors;
}

export function validateBehavior(
  behavior: HorizontalPodAutoscalerBehavior | undefined,
  path: string,
): FieldError[] {
  return [
    ...validateRules(behavior?.scaleUp, `${path}.scaleUp`),
    ...validateRules(behavior?.scaleDown, `${path}.scaleDown`),
  ];
}

function validateRules(rules: HPAScalingRules | undefined, path: string): FieldError[] {
  if (rules === undefined) return [];
  const errors: FieldError[] = [];
  const { stabilizationWindowSeconds: window, selectPolicy, policies = [] } = rules;
  if (window !== undefined) {
    if (window < 0)
      errors.push(
        invalid(`${path}.stabilizationWindowSeconds`, window, "must be greater than or equal to zero"),
      );
    if (window > 3600)
      errors.push(
        invalid(`${path}.stabilizationWindowSeconds`, window, "must be less than or equal to 3600"),
      );
  }
  if (selectPolicy !== undefined && !["Disabled", "Max", "Min"].includes(selectPolicy))
    errors.push(notSupported(`${path}.selectPolicy`, selectPolicy, ["Disabled", "Max", "Min"]));
  if (policies.length === 0) errors.push(required(`${path}.policies`, "must specify at least one Policy"));
  for (const [index, policy] of policies.entries()) {
    const at = `${path}.policies[${index}]`;
    if (!["Percent", "Pods"].includes(policy.type))
      errors.push(notSupported(`${at}.type`, policy.type ?? "", ["Percent", "Pods"]));
    if (policy.value <= 0) errors.push(invalid(`${at}.value`, policy.value, "must be greater than zero"));
    if (policy.periodSeconds <= 0)
      errors.push(invalid(`${at}.periodSeconds`, policy.periodSeconds, "must be greater than zero"));
    if (policy.periodSeconds > 1800)
      errors.push(invalid(`${at}.periodSeconds`, policy.periodSeconds, "must be less than or equal to 1800"));
  }
  return errors;
}
