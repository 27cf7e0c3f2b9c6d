/** The conflict that a server-side apply ends in when others own what it changes, in upstream's wording. */
import { StatusError } from "#base/errors.ts";
import type { StatusCause } from "#base/errors.ts";
import { difference, forEachMember, isEmpty, printPath } from "./field-set.ts";
import type { FieldSet } from "./field-set.ts";
import type { Manager } from "./managers.ts";

export interface OwnedConflict {
  id: string;
  manager: Manager;
  fields: FieldSet;
}

/** The conflicts that are left when some fields are allowed to change. */
export function withoutFields(conflicts: readonly OwnedConflict[], allowed: FieldSet): OwnedConflict[] {
  return conflicts
    .map((each) => ({ ...each, fields: difference(each.fields, allowed) }))
    .filter((each) => !isEmpty(each.fields));
}

export function conflictError(conflicts: readonly OwnedConflict[]): StatusError {
  const causes: StatusCause[] = [];
  const texts: string[] = [];
  let last = "";
  for (const { manager, fields } of [...conflicts].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const owner = printManager(manager);
    texts.push(`conflicts with ${owner}:`);
    forEachMember(fields, (path) => {
      const field = printPath(path);
      causes.push({ reason: "FieldManagerConflict", message: `conflict with ${owner}`, field });
      texts.push(`- ${field}`);
      last = `conflict with ${owner}: ${field}`;
    });
  }
  const message =
    causes.length === 1
      ? `Apply failed with 1 conflict: ${last}`
      : `Apply failed with ${causes.length} conflicts: ${texts.join("\n")}`;
  return new StatusError("Conflict", message, { details: { causes } });
}

function printManager({ entry }: Manager): string {
  let text = JSON.stringify(entry.manager ?? "");
  if (entry.subresource !== undefined && entry.subresource !== "")
    text += ` with subresource ${JSON.stringify(entry.subresource)}`;
  if (entry.operation !== "Update") return text;
  return `${text} using ${entry.apiVersion ?? ""}${entry.time === undefined ? "" : ` at ${entry.time}`}`;
}
