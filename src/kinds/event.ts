/** Event (v1). */
import { type FieldError, invalid } from "./field-error.ts";
import { type EventObject, eventColumns, eventFieldSelectors, newStyleErrors } from "./event-fields.ts";
import { defineKind } from "./kind.ts";
import { pathSegmentErrors } from "./names.ts";
import { allVerbs } from "./strategy.ts";

export const event = defineKind<EventObject>({
  group: "",
  version: "v1",
  kind: "Event",
  plural: "events",
  singular: "event",
  shortNames: ["ev"],
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.Event",
  verbs: allVerbs,
  metadataErrorsOnce: true,
  createOnUpdate: true,
  validateName: pathSegmentErrors,
  validate: validateEvent,
  validateUpdate: validateEvent,
  fieldSelectors: eventFieldSelectors("involvedObject"),
  columns: eventColumns,
});

/**
 * An event of the old kind stands where its object does. One of the new kind (it has an `eventTime`) says who
 * reports it, and what was done.
 */
function validateEvent(event: EventObject): FieldError[] {
  const of = event.involvedObject?.namespace ?? "";
  const at = event.metadata.namespace ?? "";
  if (event.eventTime) return newStyleErrors(event, "reportingComponent");
  const matches = of === "" ? at === "" || at === "default" : of === at;
  return matches ? [] : [invalid("involvedObject.namespace", of, "does not match event.namespace")];
}
