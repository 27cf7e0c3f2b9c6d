/** Rules of a LimitRange: minimum, default request, default and maximum must be in order. */
import type { LimitRangeItem } from "kubernetes-types/core/v1.d.ts";
import { type FieldError, duplicate, forbidden, invalid, required } from "./field-error.ts";
import { qualifiedNameErrors } from "./names.ts";
import { compareQuantities, parseQuantity } from "./quantity.ts";
import { goQuantity, isOvercommitAllowed, resourceNameErrors } from "./resource-list.ts";

type Amounts = Readonly<Record<string, string>>;
const standardTypes = ["Pod", "Container", "PersistentVolumeClaim"];

export function limitRangeErrors(limits: readonly LimitRangeItem[]): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [index, limit] of limits.entries()) {
    const path = `spec.limits[${index}]`;
    errors.push(...typeErrors(limit.type ?? "", `${path}.type`));
    if (seen.has(limit.type)) errors.push(duplicate(`${path}.type`, limit.type));
    seen.add(limit.type);
    errors.push(...itemErrors(limit, path));
  }
  return errors;
}

function typeErrors(type: string, path: string): FieldError[] {
  const errors = qualifiedNameErrors(type).map((each) => invalid(path, type, each));
  if (errors.length === 0 && !type.includes("/") && !standardTypes.includes(type))
    errors.push(invalid(path, type, "must be a standard limit type or fully qualified"));
  return errors;
}

function itemErrors(limit: LimitRangeItem, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const [min, max, standard, request, ratio] = [
    limit.min,
    limit.max,
    limit.default,
    limit.defaultRequest,
    limit.maxLimitRequestRatio,
  ].map((each) => (each ?? {}) as Amounts) as [Amounts, Amounts, Amounts, Amounts, Amounts];
  const keys = new Set<string>();
  for (const [field, amounts] of Object.entries({ max, min })) {
    for (const key of Object.keys(amounts)) {
      errors.push(...resourceNameErrors(key, `${path}.${field}[${key}]`));
      keys.add(key);
    }
  }
  if (limit.type === "Pod") {
    if (Object.keys(standard).length > 0)
      errors.push(forbidden(`${path}.default`, "may not be specified when `type` is 'Pod'"));
    if (Object.keys(request).length > 0)
      errors.push(forbidden(`${path}.defaultRequest`, "may not be specified when `type` is 'Pod'"));
  } else
    for (const [field, amounts] of Object.entries({ default: standard, defaultRequest: request }))
      for (const key of Object.keys(amounts)) {
        errors.push(...resourceNameErrors(key, `${path}.${field}[${key}]`));
        keys.add(key);
      }
  if (limit.type === "PersistentVolumeClaim" && min["storage"] === undefined && max["storage"] === undefined)
    errors.push(
      required(
        `${path}.limits`,
        "either minimum or maximum storage value is required, but neither was provided",
      ),
    );
  for (const key of Object.keys(ratio)) keys.add(key);
  const above = (a: string | undefined, b: string | undefined): boolean =>
    a !== undefined && b !== undefined && compareQuantities(a, b) > 0;
  for (const key of [...keys].sort()) {
    const wrong = (field: string, value: string | undefined, text: string): void => {
      errors.push(invalid(`${path}.${field}[${key}]`, goQuantity(value ?? "0"), text));
    };
    const [least, most, usual, asked] = [min[key], max[key], standard[key], request[key]];
    if (above(least, most)) wrong("min", least, `min value ${least} is greater than max value ${most}`);
    if (above(least, asked))
      wrong("defaultRequest", asked, `min value ${least} is greater than default request value ${asked}`);
    if (above(least, usual))
      wrong("default", least, `min value ${least} is greater than default value ${usual}`);
    if (above(asked, most))
      wrong("defaultRequest", asked, `default request value ${asked} is greater than max value ${most}`);
    if (above(asked, usual))
      wrong(
        "defaultRequest",
        asked,
        `default request value ${asked} is greater than default limit value ${usual}`,
      );
    if (above(usual, most))
      wrong("default", most, `default value ${usual} is greater than max value ${most}`);
    const times = ratio[key];
    if (times !== undefined) {
      if (compareQuantities(times, "1") < 0)
        wrong("maxLimitRequestRatio", times, `ratio ${times} is less than 1`);
      if (least !== undefined && most !== undefined && parseQuantity(least).nano > 0n) {
        const limitRatio = Number(parseQuantity(most).nano) / Number(parseQuantity(least).nano);
        if (Number(parseQuantity(times).nano) / 1e9 > limitRatio)
          wrong(
            "maxLimitRequestRatio",
            times,
            `ratio ${times} is greater than max/min = ${limitRatio.toFixed(6)}`,
          );
      }
    }
    if (
      !isOvercommitAllowed(key) &&
      usual !== undefined &&
      asked !== undefined &&
      compareQuantities(usual, asked) !== 0
    )
      wrong(
        "defaultRequest",
        asked,
        `default value ${usual} must equal to defaultRequest value ${asked} in ${key}`,
      );
  }
  return errors;
}
