/** IntOrString: a number, or a percentage as text. */
import { type FieldError, invalid } from "./field-error.ts";
import { goIntOrString } from "./go-syntax.ts";

export type IntOrString = number | string;

const percent = /^[0-9]+%$/;
const percentDetail =
  "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

/** A number that is not negative, or a percentage. */
export function countOrPercentErrors(value: IntOrString | undefined, path: string): FieldError[] {
  if (value === undefined) return [];
  if (typeof value === "string")
    return percent.test(value) ? [] : [invalid(path, goIntOrString(value), percentDetail)];
  return nonNegativeErrors(value, path);
}

export function nonNegativeErrors(value: number | undefined, path: string): FieldError[] {
  return value !== undefined && value < 0 ? [invalid(path, value, "must be greater than or equal to 0")] : [];
}

export function atMostHundredPercentErrors(value: IntOrString | undefined, path: string): FieldError[] {
  if (typeof value !== "string" || !percent.test(value) || Number.parseInt(value, 10) <= 100) return [];
  return [invalid(path, goIntOrString(value), "must not be greater than 100%")];
}

/** The number, or the percentage's number; as upstream's getIntOrPercentValue. */
export function numberOf(value: IntOrString | undefined): number {
  if (typeof value === "number") return value;
  return value !== undefined && percent.test(value) ? Number.parseInt(value, 10) : 0;
}
