/** ValidatingAdmissionPolicy (admissionregistration.k8s.io/v1). */
import { type FieldError, duplicate, invalid, notSupported, required } from "./field-error.ts";
import { dns1035LabelErrors, dnsSubdomainErrors, qualifiedNameErrors } from "./names.ts";
import { type MatchResources, defaultMatchResources, validateMatchResources } from "./policy-rules.ts";
import { type MatchCondition, matchConditionErrors } from "./webhooks.ts";
import { ageColumn, integer, nameColumn, text } from "./columns.ts";
import type { KubeObject } from "./object.ts";
import { defineKind } from "./kind.ts";
import { allVerbs, statusSubresource, withStatus } from "./strategy.ts";

const schemaName = "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy";

interface Validation {
  expression?: string;
  message?: string;
  reason?: string;
}

interface PolicyObject extends KubeObject {
  spec: {
    validations?: Validation[];
    auditAnnotations?: { key?: string; valueExpression?: string }[];
    matchConditions?: MatchCondition[];
    variables?: { name?: string; expression?: string }[];
    paramKind?: { apiVersion?: string; kind?: string };
    failurePolicy?: string;
    matchConstraints?: MatchResources;
  };
}

export const validatingAdmissionPolicy = defineKind<PolicyObject>({
  group: "admissionregistration.k8s.io",
  version: "v1",
  kind: "ValidatingAdmissionPolicy",
  plural: "validatingadmissionpolicies",
  singular: "validatingadmissionpolicy",
  categories: ["api-extensions"],
  namespaced: false,
  schemaName,
  verbs: allVerbs,
  metadataErrorsOnce: true,
  unconditionalUpdate: false,
  ...withStatus(schemaName),
  subresources: {
    status: statusSubresource({ keepMetadata: true }),
  },
  applyDefaults({ spec }) {
    spec.failurePolicy ??= "Fail";
    defaultMatchResources(spec.matchConstraints);
  },
  validate: validatePolicy,
  validateUpdate: validatePolicy,
  columns: [
    nameColumn,
    integer("Validations", "Number of validations.", ({ spec }) => (spec.validations ?? []).length),
    text("ParamKind", "Kind of the parameters.", ({ spec }) =>
      spec.paramKind === undefined ? "<unset>" : `${spec.paramKind.apiVersion}/${spec.paramKind.kind}`,
    ),
    ageColumn,
  ],
});

/** Whether expressions compile is for the API to say, which has the language. */
function validatePolicy({ metadata, spec }: PolicyObject): FieldError[] {
  const { failurePolicy = "", paramKind, matchConstraints: match } = spec;
  const errors: FieldError[] = [];
  if (failurePolicy !== "Fail" && failurePolicy !== "Ignore")
    errors.push(notSupported("spec.failurePolicy", failurePolicy, ["Fail", "Ignore"]));
  if (paramKind !== undefined) errors.push(...paramKindErrors(paramKind));
  if (match === undefined) errors.push(required("spec.matchConstraints"));
  else {
    errors.push(...validateMatchResources(match, "spec.matchConstraints"));
    if ((match.resourceRules ?? []).length === 0)
      errors.push(required("spec.matchConstraints.resourceRules"));
  }
  errors.push(
    ...matchConditionErrors(spec.matchConditions ?? [], "spec.matchConditions"),
    ...variableErrors(spec.variables ?? []),
  );
  const validations = spec.validations ?? [];
  const annotations = spec.auditAnnotations ?? [];
  if (validations.length === 0 && annotations.length === 0) {
    const text = "validations or auditAnnotations must contain at least one item";
    return [...errors, required("spec.validations", text), required("spec.auditAnnotations", text)];
  }
  return [...errors, ...validationErrors(validations), ...annotationErrors(annotations, metadata.name ?? "")];
}

function paramKindErrors({
  apiVersion = "",
  kind = "",
}: {
  apiVersion?: string;
  kind?: string;
}): FieldError[] {
  const errors: FieldError[] = [];
  const at = "spec.paramKind";
  const parts = apiVersion.split("/");
  if (apiVersion === "") errors.push(required(`${at}.apiVersion`));
  else if (parts.length > 2)
    errors.push(invalid(`${at}.apiVersion`, apiVersion, `unexpected GroupVersion string: ${apiVersion}`));
  else {
    const version = parts.at(-1) ?? "";
    const wrong = [
      ...(parts.length === 2 ? dnsSubdomainErrors(parts[0] ?? "") : []),
      ...dns1035LabelErrors(version),
    ];
    errors.push(...wrong.map((each) => invalid(`${at}.apiVersion`, version, each)));
  }
  const kindProblems = dns1035LabelErrors(kind.toLowerCase());
  if (kind === "") errors.push(required(`${at}.kind`));
  else if (kindProblems.length > 0)
    errors.push(
      invalid(
        `${at}.kind`,
        kind,
        `may have mixed case, but should otherwise match: ${kindProblems.join(",")}`,
      ),
    );
  return errors;
}

function variableErrors(variables: readonly { name?: string; expression?: string }[]): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, { name = "", expression = "" }] of variables.entries()) {
    const at = `spec.variables[${index}]`;
    if (name === "") errors.push(required(`${at}.name`, "name is not specified"));
    else if (!/^[_a-zA-Z][_a-zA-Z0-9]*$/.test(name))
      errors.push(invalid(`${at}.name`, name, "name is not a valid CEL identifier"));
    if (expression.trim() === "") errors.push(required(`${at}.expression`, "expression is not specified"));
  }
  return errors;
}

const reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge"];

function validationErrors(validations: readonly Validation[]): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, { expression = "", message = "", reason }] of validations.entries()) {
    const at = `spec.validations[${index}]`;
    if (expression.trim() === "") errors.push(required(`${at}.expression`, "expression is not specified"));
    if (message !== "" && message.trim() === "")
      errors.push(invalid(`${at}.message`, message, "message must be non-empty if specified"));
    else if (/[\r\n]/.test(message))
      errors.push(invalid(`${at}.message`, message, "message must not contain line breaks"));
    if (reason !== undefined && !reasons.includes(reason))
      errors.push(notSupported(`${at}.reason`, reason, reasons));
  }
  return errors;
}

function annotationErrors(
  annotations: readonly { key?: string; valueExpression?: string }[],
  policy: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const keys = new Set<string>();
  for (const [index, { key = "", valueExpression = "" }] of annotations.entries()) {
    const at = `spec.auditAnnotations[${index}]`;
    const full = `${policy}/${key}`;
    if (policy === "") errors.push(invalid(`${at}.key`, key, "requires metadata.name be non-empty"));
    else errors.push(...qualifiedNameErrors(full).map((each) => invalid(`${at}.key`, full, each)));
    if (keys.has(key)) errors.push(duplicate(`${at}.key`, key));
    keys.add(key);
    if (valueExpression.trim() === "")
      errors.push(required(`${at}.valueExpression`, "valueExpression is not specified"));
  }
  return errors;
}
