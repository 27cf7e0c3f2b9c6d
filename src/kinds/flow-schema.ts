/** FlowSchema (flowcontrol.apiserver.k8s.io/v1). */
import { type FieldError, invalid, notSupported, required } from "./field-error.ts";
import { type FlowRule, validateFlowRules } from "./flow-rules.ts";
import { dnsSubdomainErrors } from "./names.ts";
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
    rules?: FlowRule[];
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
  validate: validateSchema,
  validateUpdate: validateSchema,
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

function validateSchema({ metadata, spec }: FlowSchemaObject): FieldError[] {
  const { matchingPrecedence: precedence = 0, distinguisherMethod: method } = spec;
  const errors: FieldError[] = [];
  const at = "spec.matchingPrecedence";
  if (precedence <= 0) errors.push(invalid(at, precedence, "must be a positive value"));
  if (precedence > 10_000) errors.push(invalid(at, precedence, "must not be greater than 10000"));
  if (precedence === 1 && metadata.name !== "exempt")
    errors.push(invalid(at, precedence, "only the schema named 'exempt' may have matchingPrecedence 1"));
  const type = method?.type ?? "";
  if (method !== undefined && type !== "ByUser" && type !== "ByNamespace")
    errors.push(
      notSupported(
        "spec.distinguisherMethod.type",
        { goSyntax: `flowcontrol.FlowDistinguisherMethod{Type:${JSON.stringify(type)}}` },
        ["ByNamespace", "ByUser"],
      ),
    );
  const level = spec.priorityLevelConfiguration?.name ?? "";
  const name = "spec.priorityLevelConfiguration.name";
  if (level === "") errors.push(required(name, "must reference a priority level"));
  else errors.push(...dnsSubdomainErrors(level).map((each) => invalid(name, level, each)));
  return [...errors, ...validateFlowRules(spec.rules ?? [], "spec.rules")];
}
