/**
 * Validation errors in upstream's wording (k8s.io/apimachinery, validation/field): each names a field
 * path, and a list of them becomes one Status of reason Invalid.
 */
import { StatusError } from "#base/errors.ts";

export type FieldErrorReason =
  | "FieldValueRequired"
  | "FieldValueInvalid"
  | "FieldValueNotSupported"
  | "FieldValueDuplicate"
  | "FieldValueForbidden"
  | "FieldValueTooLong"
  | "FieldValueTooMany"
  | "FieldValueNotFound"
  | "FieldValueTypeInvalid"
  | "InternalError";

export interface FieldError {
  reason: FieldErrorReason;
  field: string;
  /** The text after "field: ". */
  message: string;
}

/** Stands for a value that upstream does not print. */
export const omittedValue: GoValue = { goSyntax: "" };

export function required(field: string, detail = ""): FieldError {
  return { reason: "FieldValueRequired", field, message: withDetail("Required value", detail) };
}

export function invalid(field: string, value: unknown, detail: string): FieldError {
  if (value === omittedValue)
    return { reason: "FieldValueInvalid", field, message: withDetail("Invalid value", detail) };
  return {
    reason: "FieldValueInvalid",
    field,
    message: withDetail(`Invalid value: ${quoteValue(value)}`, detail),
  };
}

export function typeInvalid(field: string, value: unknown, detail: string): FieldError {
  return {
    reason: "FieldValueTypeInvalid",
    field,
    message: withDetail(`Invalid value: ${quoteValue(value)}`, detail),
  };
}

/** A value that upstream prints in Go's own notation (lists, maps, structs): `text` is printed as it is. */
export interface GoValue {
  goSyntax: string;
}

/** `supported` is printed quoted, in the order given (upstream sorts where it holds a set). */
export function notSupported(field: string, value: unknown, supported: readonly string[]): FieldError {
  const list = supported.map((each) => JSON.stringify(each)).join(", ");
  return {
    reason: "FieldValueNotSupported",
    field,
    message: withDetail(
      `Unsupported value: ${quoteValue(value)}`,
      supported.length > 0 ? `supported values: ${list}` : "",
    ),
  };
}

export function duplicate(field: string, value: unknown, detail = ""): FieldError {
  return {
    reason: "FieldValueDuplicate",
    field,
    message: withDetail(`Duplicate value: ${quoteValue(value)}`, detail),
  };
}

export function forbidden(field: string, detail: string): FieldError {
  return { reason: "FieldValueForbidden", field, message: withDetail("Forbidden", detail) };
}

export function tooLong(field: string, maxLength: number): FieldError {
  return {
    reason: "FieldValueTooLong",
    field,
    message: `Too long: may not be more than ${maxLength} bytes`,
  };
}

export function tooMany(field: string, actual: number, max: number): FieldError {
  return {
    reason: "FieldValueTooMany",
    field,
    message: `Too many: ${actual}: must have at most ${max} items`,
  };
}

export function notFound(field: string, value: unknown): FieldError {
  return { reason: "FieldValueNotFound", field, message: `Not found: ${quoteValue(value)}` };
}

/** The Status of reason Invalid (422) for a list of errors, which must not be empty. */
export function invalidError(
  object: { group: string; kind: string; name: string },
  errors: readonly FieldError[],
): StatusError {
  const texts = [...new Set(errors.map((each) => `${each.field}: ${each.message}`))];
  const joined = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  const kind = object.group === "" ? object.kind : `${object.kind}.${object.group}`;
  return new StatusError("Invalid", `${kind} ${JSON.stringify(object.name)} is invalid: ${joined}`, {
    details: {
      ...(object.name === "" ? {} : { name: object.name }),
      ...(object.group === "" ? {} : { group: object.group }),
      ...(object.kind === "" ? {} : { kind: object.kind }),
      causes: errors.map((each) => ({
        reason: each.reason,
        message: each.message,
        field: each.field,
      })),
    },
  });
}

function withDetail(text: string, detail: string): string {
  return detail === "" ? text : `${text}: ${detail}`;
}

function quoteValue(value: unknown): string {
  if (value === undefined || value === null) return '"null"';
  if (typeof value === "object" && "goSyntax" in value) return String(value.goSyntax);
  return JSON.stringify(value);
}
