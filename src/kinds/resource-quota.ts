/** ResourceQuota (v1). */
import { ageColumn, nameColumn, text } from "./columns.ts";
import { deepEqual } from "./equality.ts";
import { type FieldError, invalid, required } from "./field-error.ts";
import { goPointer, goStrings } from "./go-syntax.ts";
import { sortedEntries } from "./metadata.ts";
import { isQuotaResource, resourceNameErrors, resourceQuantityErrors } from "./resource-list.ts";
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
    status: statusSubresource<QuotaObject>({
      validateUpdate: ({ status }) => [
        ...amountErrors(status?.hard, "status.hard"),
        ...amountErrors(status?.used, "status.used"),
      ],
    }),
  },
  validate: quotaErrors,
  validateUpdate: (object, old) => [
    ...quotaErrors(object),
    ...(deepEqual(object.spec.scopes, old.spec.scopes)
      ? []
      : [invalid("spec.scopes", goScopes(object.spec.scopes), "field is immutable")]),
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
  const names = Object.keys(spec.hard ?? {}).sort();
  return [
    ...amountErrors(spec.hard, "spec.hard"),
    ...scopeErrors(spec, names),
    ...selectorErrors(spec, names),
  ];
}

/** Names that quotas know, and amounts that can be counted. */
function amountErrors(amounts: Record<string, string> | undefined, path: string): FieldError[] {
  return sortedEntries(amounts).flatMap(([name, value]) => {
    const at = `${path}[${name}]`;
    const known = name.includes("/") || isQuotaResource(name);
    return [
      ...resourceNameErrors(name, at),
      ...(known ? [] : [invalid(at, { goSyntax: name }, "must be a standard resource for quota")]),
      ...resourceQuantityErrors(name, value, at),
    ];
  });
}

/** What pods of a scope can be limited by: those without requests only by their number. */
function fits(scope: string, resource: string): boolean {
  if (!scopes.includes(scope) || !isQuotaResource(resource) || resource === "pods") return true;
  if (scope === "BestEffort") return false;
  return ["cpu", "memory"].includes(resource.replace(/^(limits|requests)\./, ""));
}

const conflicts = [
  ["BestEffort", "NotBestEffort"],
  ["Terminating", "NotTerminating"],
] as const;

function goScopes(list: readonly string[] | undefined): { goSyntax: string } {
  return { goSyntax: goStrings(list).goSyntax.replace("[]string", "[]core.ResourceQuotaScope") };
}

function scopeErrors(spec: QuotaObject["spec"], resources: readonly string[]): FieldError[] {
  const given = spec.scopes ?? [];
  const wrong = (detail: string): FieldError => invalid("spec.scopes", goScopes(given), detail);
  return [
    ...given.flatMap((scope) => [
      ...(scopes.includes(scope) ? [] : [wrong("unsupported scope")]),
      ...resources
        .filter((name) => !fits(scope, name))
        .map(() => wrong("unsupported scope applied to resource")),
    ]),
    ...conflicts
      .filter((pair) => pair.every((each) => given.includes(each)))
      .map(() => wrong("conflicting scopes")),
  ];
}

function selectorErrors(spec: QuotaObject["spec"], resources: readonly string[]): FieldError[] {
  const at = "spec.scopeSelector.matchExpressions";
  const expressions = spec.scopeSelector?.matchExpressions ?? [];
  const errors: FieldError[] = [];
  for (const { scopeName = "", operator = "", values = [] } of expressions) {
    if (!scopes.includes(scopeName)) errors.push(invalid(`${at}.scopeName`, scopeName, "unsupported scope"));
    for (const name of resources)
      if (!fits(scopeName, name))
        errors.push(invalid(at, goPointerTo("core.ScopeSelector"), "unsupported scope applied to resource"));
    if (scopes.includes(scopeName) && scopeName !== "PriorityClass" && operator !== "Exists")
      errors.push(
        invalid(
          `${at}.operator`,
          operator,
          "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
        ),
      );
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
  const selected = new Set(expressions.map((each) => each.scopeName));
  for (const pair of conflicts)
    if (pair.every((each) => selected.has(each)))
      errors.push(invalid(at, goScopes(spec.scopes), "conflicting scopes"));
  return errors;
}

function goPointerTo(type: string): { goSyntax: string } {
  return { goSyntax: goPointer(type, true) };
}
