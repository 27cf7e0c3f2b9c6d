/** Reading the fields of a volume's source, whichever it is. */
import { type FieldError, required } from "./field-error.ts";

/** A field that decoding has made a string, or nothing. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function requiredFields(
  source: Readonly<Record<string, unknown>>,
  fields: readonly string[],
  path: string,
): FieldError[] {
  return fields.filter((field) => !source[field]).map((field) => required(`${path}.${field}`));
}
