/** Event (events.k8s.io/v1): the newer vocabulary, with stricter rules. */
import { type FieldError, invalid, required } from "./field-error.ts";
import { type EventObject, eventColumns, eventFieldSelectors, subjectOf } from "./event-fields.ts";
import { deepEqual } from "./equality.ts";
import { defineKind } from "./kind.ts";
import { byteLength } from "./metadata.ts";
import { qualifiedNameErrors } from "./names.ts";
import { allVerbs } from "./strategy.ts";

export const eventEvents = defineKind<EventObject>({
  group: "events.k8s.io",
  version: "v1",
  kind: "Event",
  plural: "events",
  singular: "event",
  shortNames: ["ev"],
  namespaced: true,
  schemaName: "io.k8s.api.events.v1.Event",
  verbs: allVerbs,
  createOnUpdate: true,
  validate: validateEvent,
  validateUpdate(object, old) {
    const errors: FieldError[] = [];
    for (const field of [
      "regarding",
      "related",
      "action",
      "reason",
      "type",
      "eventTime",
      "reportingController",
      "reportingInstance",
    ] as const)
      if (!deepEqual(object[field], old[field]))
        errors.push(
          invalid(field === "regarding" ? "involvedObject" : field, object[field], "field is immutable"),
        );
    return [...errors, ...validateEvent(object)];
  },
  fieldSelectors: eventFieldSelectors("regarding"),
  columns: eventColumns,
});

function validateEvent(event: EventObject): FieldError[] {
  const errors: FieldError[] = [];
  const of = subjectOf(event).namespace ?? "";
  const at = event.metadata.namespace ?? "";
  if (of === "" ? at !== "" && at !== "default" && at !== "kube-system" : of !== at)
    errors.push(invalid("involvedObject.namespace", of, "does not match event.namespace"));
  if (!event.eventTime) errors.push(required("eventTime"));
  const {
    reportingController = "",
    reportingInstance = "",
    action = "",
    reason = "",
    type = "",
    note = "",
    series,
  } = event;
  if (reportingController === "") errors.push(required("reportingController"));
  errors.push(
    ...qualifiedNameErrors(reportingController).map((each) =>
      invalid("reportingController", reportingController, each),
    ),
  );
  for (const [field, value] of Object.entries({ reportingInstance, action, reason })) {
    if (value === "") errors.push(required(field));
    if (value.length > 128) errors.push(invalid(field, "", "can have at most 128 characters"));
  }
  if (byteLength(note) > 1024) errors.push(invalid("message", "", "can have at most 1024 characters"));
  if (type !== "Normal" && type !== "Warning") errors.push(invalid("type", "", `has invalid value: ${type}`));
  if (series !== undefined) {
    if ((series.count ?? 0) < 2) errors.push(invalid("series.count", "", "should be at least 2"));
    if (!series.lastObservedTime) errors.push(required("series.lastObservedTime"));
  }
  return errors;
}
