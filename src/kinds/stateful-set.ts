/** StatefulSet (apps/v1). */
import { ageColumn, nameColumn } from "./columns.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, scaleSubresource, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.apps.v1.StatefulSet";

export const statefulSet = defineKind({
  group: "apps",
  version: "v1",
  kind: "StatefulSet",
  plural: "statefulsets",
  singular: "statefulset",
  shortNames: ["sts"],
  categories: ["all"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  ...withStatus(schemaName),
  subresources: {
    scale: scaleSubresource,
    status: statusSubresource(),
  },
  scale: {
    specReplicasPath: "spec.replicas",
    statusReplicasPath: "status.replicas",
    labelSelectorPath: "spec.selector",
  },
  columns: [nameColumn, ageColumn],
});
