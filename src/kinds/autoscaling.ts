/** Rules that both versions of HorizontalPodAutoscaler share. */
import { type FieldError, forbidden, invalid, required } from "./field-error.ts";
import { pathSegmentErrors } from "./names.ts";

/** `scalesToZero`: there is an object or external metric, without which the minimum is one. */
export function scaleBoundsErrors(
  spec: { minReplicas?: number; maxReplicas: number },
  scalesToZero: boolean,
): FieldError[] {
  const errors: FieldError[] = [];
  const { minReplicas: min, maxReplicas: max } = spec;
  if (min !== undefined && min < 1)
    errors.push(invalid("spec.minReplicas", min, "must be greater than or equal to 1"));
  if (max < 1) errors.push(invalid("spec.maxReplicas", max, "must be greater than 0"));
  if (min !== undefined && max < min)
    errors.push(invalid("spec.maxReplicas", max, "must be greater than or equal to `minReplicas`"));
  if (min === 0 && !scalesToZero)
    errors.push(
      forbidden(
        "spec.metrics",
        "must specify at least one Object or External metric to support scaling to zero replicas",
      ),
    );
  return errors;
}

export function targetReferenceErrors(
  reference: { kind?: string; name?: string } | undefined,
  path: string,
): FieldError[] {
  return (["kind", "name"] as const).flatMap((field) => {
    const value = reference?.[field] ?? "";
    if (value === "") return [required(`${path}.${field}`)];
    return pathSegmentErrors(value).map((each) => invalid(`${path}.${field}`, value, each));
  });
}
