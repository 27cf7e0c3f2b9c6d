/**
 * The query parameters of lists and watches: parsing, validation in upstream's words, and the selection
 * that they describe.
 */
import { parseFieldSelector } from "#kinds/field-selector.ts";
import type { FieldRequirement } from "#kinds/field-selector.ts";
import { forbidden, invalidError, notSupported } from "#kinds/field-error.ts";
import type { FieldError } from "#kinds/field-error.ts";
import type { KubeObject } from "#kinds/object.ts";
import { matchesRequirements, parseLabelSelector } from "#kinds/label-selector.ts";
import type { LabelRequirement } from "#kinds/label-selector.ts";
import type { Entry } from "../cache/entry.ts";
import type { Resource } from "../registry.ts";
import { isTrue } from "../request-info.ts";
import { badRequest, unclassifiedError } from "../status.ts";
import { parseInteger } from "./write-options.ts";

export interface Selection {
  labels: readonly LabelRequirement[];
  fields: readonly SelectedField[];
}

interface SelectedField extends FieldRequirement {
  /** For fields of the served version that the stored one does not know. */
  read?: (object: KubeObject) => string;
}

export interface ListOptions extends Selection {
  isWatch: boolean;
  resourceVersion: string;
  resourceVersionMatch: string;
  sendInitialEvents: boolean | undefined;
  allowWatchBookmarks: boolean;
  limit: number;
  continue: string;
  timeoutSeconds: number | undefined;
}

export function readListOptions(resource: Resource, query: URLSearchParams, isWatch: boolean): ListOptions {
  const limit = query.get("limit");
  const timeout = query.get("timeoutSeconds");
  const sendInitialEvents = query.get("sendInitialEvents");
  const options = {
    isWatch,
    resourceVersion: query.get("resourceVersion") ?? "",
    resourceVersionMatch: query.get("resourceVersionMatch") ?? "",
    sendInitialEvents: sendInitialEvents === null ? undefined : isTrue(sendInitialEvents),
    allowWatchBookmarks: isTrue(query.get("allowWatchBookmarks")),
    limit: limit === null || limit === "" ? 0 : parseInteger(limit),
    continue: query.get("continue") ?? "",
    timeoutSeconds: timeout === null || timeout === "" ? undefined : parseInteger(timeout),
    labels: readLabels(query.get("labelSelector") ?? ""),
    fields: readFields(resource, query.get("fieldSelector") ?? ""),
  };
  const errors = isWatch ? validateWatch(options) : validateList(options);
  if (errors.length > 0) throw invalidError({ group: "meta.k8s.io", kind: "ListOptions", name: "" }, errors);
  return options;
}

function readLabels(text: string): LabelRequirement[] {
  try {
    return parseLabelSelector(text);
  } catch (error) {
    if (error instanceof RangeError) throw badRequest(error.message);
    throw error;
  }
}

function readFields(resource: Resource, text: string): SelectedField[] {
  let requirements: SelectedField[];
  try {
    requirements = parseFieldSelector(text);
  } catch (error) {
    if (error instanceof RangeError) throw badRequest(error.message);
    throw error;
  }
  const stored = resource.stored?.codec.fieldSelectors ?? {};
  for (const requirement of requirements) {
    const { field } = requirement;
    const read = resource.kind.fieldSelectors?.[field];
    if (read !== undefined && stored[field] === undefined) requirement.read = read;
    if (field === "metadata.name") continue;
    if (field === "metadata.namespace" && resource.namespaced) continue;
    if (field === "metadata.namespace" && resource.kind.fieldSelectors?.[field] === undefined) {
      if (!hasOwnFieldSelectors(resource)) continue;
    }
    if (resource.kind.fieldSelectors?.[field] !== undefined) continue;
    throw badRequest(unknownFieldMessage(resource, field));
  }
  return requirements;
}

function hasOwnFieldSelectors(resource: Resource): boolean {
  return Object.keys(resource.kind.fieldSelectors ?? {}).length > 0;
}

function unknownFieldMessage(resource: Resource, field: string): string {
  if (!hasOwnFieldSelectors(resource)) {
    return `${JSON.stringify(field)} is not a known field selector: only "metadata.name", "metadata.namespace"`;
  }
  // Jobs alone say whose field it is.
  if (resource.kind.group === "batch")
    return `field label ${JSON.stringify(field)} not supported for ${resource.kind.kind}`;
  return `field label not supported: ${field}`;
}

function validateList(options: ListOptions): FieldError[] {
  const errors: FieldError[] = [];
  const match = options.resourceVersionMatch;
  if (match !== "") {
    if (options.resourceVersion === "") {
      errors.push(
        forbidden(
          "resourceVersionMatch",
          "resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
      );
    }
    if (options.continue !== "") {
      errors.push(
        forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"),
      );
    }
    if (match !== "Exact" && match !== "NotOlderThan") {
      errors.push(notSupported("resourceVersionMatch", match, ["Exact", "NotOlderThan", ""]));
    }
    if (match === "Exact" && options.resourceVersion === "0") {
      errors.push(
        forbidden(
          "resourceVersionMatch",
          'resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
      );
    }
  }
  if (options.sendInitialEvents !== undefined) {
    errors.push(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
  }
  return errors;
}

function validateWatch(options: ListOptions): FieldError[] {
  const errors: FieldError[] = [];
  const match = options.resourceVersionMatch;
  if (options.sendInitialEvents !== undefined && match !== "NotOlderThan") {
    errors.push(
      forbidden(
        "resourceVersionMatch",
        "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
      ),
    );
  }
  if (match !== "") {
    if (options.sendInitialEvents === undefined) {
      errors.push(
        forbidden(
          "resourceVersionMatch",
          "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
      );
    }
    if (match !== "NotOlderThan") errors.push(notSupported("resourceVersionMatch", match, ["NotOlderThan"]));
  }
  if (options.continue !== "") {
    errors.push(
      forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"),
    );
  }
  return errors;
}

/** A resourceVersion parameter as a revision; 0 for "" and "0". */
export function parseResourceVersion(text: string): number {
  if (text === "" || text === "0") return 0;
  if (!/^\d+$/.test(text)) {
    const quoted = JSON.stringify(text);
    throw unclassifiedError(
      `resourceVersion: Invalid value: ${quoted}: strconv.ParseUint: parsing ${quoted}: invalid syntax`,
    );
  }
  return Number(text);
}

export function matches(selection: Selection, entry: Entry): boolean {
  if (selection.labels.length > 0 && !matchesRequirements(selection.labels, entry.labels)) return false;
  return selection.fields.every((each) => {
    const value = each.read === undefined ? entry.field(each.field) : each.read(entry.decode());
    return ((value ?? "") === each.value) === (each.operator === "=");
  });
}

export function selectsEverything(selection: Selection): boolean {
  return selection.labels.length === 0 && selection.fields.length === 0;
}

/** The name that the selection is limited to, if it is limited to one. */
export function selectedName(selection: Selection): string | undefined {
  return selection.fields.find((each) => each.field === "metadata.name" && each.operator === "=")?.value;
}
