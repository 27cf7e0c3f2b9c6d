/** Paths inside volumes and on hosts. */
import { type FieldError, invalid } from "./field-error.ts";

/** No ".." among the path's parts. */
export function noBackstepsErrors(path: string, field: string): FieldError[] {
  return path.split("/").includes("..") ? [invalid(field, path, "must not contain '..'")] : [];
}

/** A relative path without "..". */
export function localPathErrors(path: string, field: string): FieldError[] {
  const errors = path.startsWith("/") ? [invalid(field, path, "must be a relative path")] : [];
  return [...errors, ...noBackstepsErrors(path, field)];
}

/** A relative path that does not leave its directory, nor begins with "..". */
export function localNonReservedPathErrors(path: string, field: string): FieldError[] {
  const errors = localPathErrors(path, field);
  // "..a" would clash with the names that atomic updates of volumes use.
  if (path.startsWith("..") && !path.split("/").includes(".."))
    errors.push(invalid(field, path, "must not start with '..'"));
  return errors;
}
