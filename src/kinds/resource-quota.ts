/** ResourceQuota (v1). */
import { ageColumn, nameColumn, text } from "./columns.ts";
import { deepEqual } from "./equality.ts";
import { type FieldError, invalid, required } from "./field-error.ts";
import { goStrings } from "./go-syntax.ts";
import { resourceNameErrors, resourceQuantityErrors } from "./resource-list.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.core.v1.ResourceQuota";

interface QuotaObject extends KubeObject {
  spec: {
    hard?: Record<string, string>;
    scopes?: string[];
    scopeSelector?: { matchExpressions?: { scopeName?: string; operator?: string; values?: string[] }[] };
  };
  status?: { hard?: Record<string, string>; used?: Record<string, string> };
}

const scopes = [
  "Terminating",
  "NotTerminating",
  "BestEffort",
  "NotBestEffort",
  "PriorityClass",
  "CrossNamespacePodAffinity",
];

export const resourceQuota = defineKind<QuotaObject>({
  group: "",
  version: "v1",
  kind: "ResourceQuota",
  plural: "resourcequotas",
  singular: "resourcequota",
  shortNames: ["quota"],
  namespaced: true,
  schemaName,
  verbs: allVerbs,
  ...withStatus(schemaName, { generation: false }),
  subresources: {
    status: statusSubresource(),
  },
  validate: quotaErrors,
  validateUpdate: (object, old) => [
    ...quotaErrors(object),
    ...(deepEqual(object.spec.scopes, old.spec.scopes)
      ? []
      : [
          invalid(
            "spec.scopes",
            {
              goSyntax: goStrings(object.spec.scopes ?? []).goSyntax.replace(
                "[]string",
                "[]core.ResourceQuotaScope",
              ),
            },
            "field is immutable",
          ),
        ]),
  ],
  columns: [
    nameColumn,
    ageColumn,
    text("Request", "Used and allowed requests and counts.", (object) => quotaText(object, false)),
    text("Limit", "Used and allowed limits.", (object) => quotaText(object, true)),
  ],
});

function quotaText({ status }: QuotaObject, limits: boolean): string {
  return Object.keys(status?.hard ?? {})
    .filter((name) => name.startsWith("limits.") === limits)
    .sort()
    .map((name) => `${name}: ${status?.used?.[name] ?? "0"}/${status?.hard?.[name]}`)
    .join(", ");
}

function quotaErrors({ spec }: QuotaObject): FieldError[] {
  const errors: FieldError[] = [];
  for (const [name, value] of Object.entries(spec.hard ?? {})) {
    const at = `spec.hard[${name}]`;
    errors.push(...resourceNameErrors(name, at), ...resourceQuantityErrors(name, value, at));
  }
  const shown = {
    goSyntax: goStrings(spec.scopes ?? []).goSyntax.replace("[]string", "[]core.ResourceQuotaScope"),
  };
  for (const scope of spec.scopes ?? [])
    if (!scopes.includes(scope)) errors.push(invalid("spec.scopes", shown, "unsupported scope"));
  for (const { scopeName = "", operator = "", values = [] } of spec.scopeSelector?.matchExpressions ?? []) {
    const at = "spec.scopeSelector.matchExpressions";
    if (!scopes.includes(scopeName)) errors.push(invalid(`${at}.scopeName`, scopeName, "unsupported scope"));
    if (operator === "In" || operator === "NotIn") {
      if (values.length === 0)
        errors.push(
          required(
            `${at}.values`,
            "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
          ),
        );
    } else if (operator === "Exists" || operator === "DoesNotExist") {
      if (values.length > 0)
        errors.push(
          invalid(
            `${at}.values`,
            goStrings(values),
            "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
          ),
        );
    } else errors.push(invalid(`${at}.operator`, operator, "not a valid selector operator"));
  }
  return errors;
}
