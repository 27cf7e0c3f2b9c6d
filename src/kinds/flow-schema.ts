/** FlowSchema (flowcontrol.apiserver.k8s.io/v1). */
import { ageColumn, nameColumn, text } from "./columns.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.flowcontrol.v1.FlowSchema";

interface FlowSchemaObject extends KubeObject {
  spec: {
    priorityLevelConfiguration?: { name?: string };
    matchingPrecedence?: number;
    distinguisherMethod?: { type?: string };
  };
  status?: { conditions?: { type?: string; status?: string }[] };
}

export const flowSchema = defineKind<FlowSchemaObject>({
  group: "flowcontrol.apiserver.k8s.io",
  version: "v1",
  kind: "FlowSchema",
  plural: "flowschemas",
  singular: "flowschema",
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  metadataErrorsOnce: true,
  ...withStatus(schemaName),
  subresources: {
    status: statusSubresource({ keepMetadata: true }),
  },
  applyDefaults({ spec }) {
    spec.matchingPrecedence ||= 1000;
  },
  columns: [
    nameColumn,
    text(
      "PriorityLevel",
      "Priority level of the requests.",
      ({ spec }) => spec.priorityLevelConfiguration?.name ?? "",
    ),
    {
      name: "MatchingPrecedence",
      type: "string",
      description: "Order in which schemas are tried.",
      priority: 0,
      cell: ({ spec }) => spec.matchingPrecedence ?? 0,
    },
    text(
      "DistinguisherMethod",
      "How flows are told apart.",
      ({ spec }) => spec.distinguisherMethod?.type ?? "<none>",
    ),
    ageColumn,
    text(
      "MissingPL",
      "Whether the priority level is missing.",
      ({ status }) => status?.conditions?.find((each) => each.type === "Dangling")?.status ?? "?",
    ),
  ],
});
