/** Event (v1). */
import { type FieldError, invalid } from "./field-error.ts";
import { type EventObject, eventColumns, eventFieldSelectors } from "./event-fields.ts";
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

/** Only old, lenient rules hold for the core vocabulary: an event stands where its object does. */
function validateEvent({ metadata, involvedObject = {} }: EventObject): FieldError[] {
  const of = involvedObject.namespace ?? "";
  const at = metadata.namespace ?? "";
  const matches = of === "" ? at === "" || at === "default" : of === at;
  return matches ? [] : [invalid("involvedObject.namespace", of, "does not match event.namespace")];
}
