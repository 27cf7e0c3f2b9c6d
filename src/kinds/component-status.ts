/** ComponentStatus (v1). */
import { nameColumn, text } from "./columns.ts";
import { defineKind } from "./kind.ts";

const schemaName = "io.k8s.api.core.v1.ComponentStatus";

export const componentStatus = defineKind({
  group: "",
  version: "v1",
  kind: "ComponentStatus",
  plural: "componentstatuses",
  singular: "componentstatus",
  shortNames: ["cs"],
  namespaced: false,
  schemaName,
  verbs: ["get", "list"],
  deprecations: ["v1 ComponentStatus is deprecated in v1.19+"],
  columns: [
    nameColumn,
    text("Status", "Healthy or not.", () => ""),
    text("Message", "What the check said.", () => ""),
    text("Error", "Why the check failed.", () => ""),
  ],
});
