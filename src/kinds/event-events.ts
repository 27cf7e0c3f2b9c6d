/** Event (events.k8s.io/v1): the newer vocabulary, with stricter rules. */
import { type FieldError, invalid, required } from "./field-error.ts";
import { type EventObject, eventColumns, eventFieldSelectors, newStyleErrors } from "./event-fields.ts";
import { deepEqual } from "./equality.ts";
import { defineKind } from "./kind.ts";
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
  const { type = "", series } = event;
  if (!event.eventTime) errors.push(required("eventTime"));
  errors.push(...newStyleErrors(event, "reportingController"));
  if (type !== "Normal" && type !== "Warning") errors.push(invalid("type", "", `has invalid value: ${type}`));
  if (series !== undefined) {
    if ((series.count ?? 0) < 2) errors.push(invalid("series.count", "", "should be at least 2"));
    if (!series.lastObservedTime) errors.push(required("series.lastObservedTime"));
  }
  return errors;
}
