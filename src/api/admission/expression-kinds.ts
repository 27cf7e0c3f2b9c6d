/**
 * The kinds that carry CEL expressions, completed with what only this room can say of them: whether the
 * expressions compile. One that an update leaves as it was is not judged again.
 */
import type { AnyKind } from "#kinds/kind.ts";
import { invalid } from "#kinds/field-error.ts";
import type { FieldError } from "#kinds/field-error.ts";
import type { KubeObject } from "#kinds/object.ts";
import { expressionProblem } from "../cel/expression-errors.ts";
import type { ExpressionPlace } from "../cel/expression-errors.ts";

interface PlacedExpression extends ExpressionPlace {
  path: string;
  text: string;
}

type Collect = (object: KubeObject) => PlacedExpression[];

const collectors: Readonly<Record<string, Collect>> = {
  mutatingwebhookconfigurations: ofWebhooks,
  validatingwebhookconfigurations: ofWebhooks,
  validatingadmissionpolicies: ofPolicy,
};

/** The kind with its expressions compiled in validation; a kind without any comes back as it is. */
export function withExpressionErrors(base: AnyKind): AnyKind {
  const collect = base.group === "admissionregistration.k8s.io" ? collectors[base.plural] : undefined;
  if (collect === undefined) return base;
  return {
    ...base,
    validate: (object: KubeObject) => [...(base.validate?.(object) ?? []), ...errorsOf(collect(object), [])],
    validateUpdate: (object: KubeObject, old: KubeObject) => [
      ...(base.validateUpdate?.(object, old) ?? []),
      ...errorsOf(collect(object), collect(old)),
    ],
  };
}

function errorsOf(expressions: readonly PlacedExpression[], old: readonly PlacedExpression[]): FieldError[] {
  const known = new Set(old.map((each) => each.text));
  return expressions.flatMap((each) => {
    // Blank ones are missing, which the kind says itself.
    if (each.text.trim() === "" || known.has(each.text)) return [];
    const problem = expressionProblem(each.text, each);
    return problem === undefined ? [] : [invalid(each.path, each.text, problem)];
  });
}

interface Condition {
  expression?: string;
}

const requestVariables = ["object", "oldObject", "request", "authorizer"];

function ofConditions(
  conditions: readonly Condition[],
  path: string,
  variables: string[],
): PlacedExpression[] {
  return conditions.map(({ expression = "" }, index) => ({
    path: `${path}[${index}].expression`,
    text: expression,
    variables,
    type: "bool",
  }));
}

function ofWebhooks(object: KubeObject): PlacedExpression[] {
  const webhooks = (object["webhooks"] ?? []) as { matchConditions?: Condition[] }[];
  return webhooks.flatMap(({ matchConditions = [] }, index) =>
    ofConditions(matchConditions, `webhooks[${index}].matchConditions`, requestVariables),
  );
}

interface PolicySpec {
  paramKind?: unknown;
  matchConditions?: Condition[];
  variables?: Condition[];
  validations?: { expression?: string; messageExpression?: string }[];
  auditAnnotations?: { valueExpression?: string }[];
}

function ofPolicy(object: KubeObject): PlacedExpression[] {
  const spec = (object["spec"] ?? {}) as PolicySpec;
  const params = spec.paramKind === undefined ? [] : ["params"];
  const outer = [...requestVariables, "namespaceObject", ...params];
  const inner = [...outer, "variables"];
  const found = ofConditions(spec.matchConditions ?? [], "spec.matchConditions", outer);
  for (const [index, { expression = "" }] of (spec.variables ?? []).entries())
    found.push({ path: `spec.variables[${index}].expression`, text: expression, variables: inner });
  for (const [index, { expression = "", messageExpression = "" }] of (spec.validations ?? []).entries()) {
    const path = `spec.validations[${index}]`;
    found.push(
      { path: `${path}.expression`, text: expression, variables: inner, type: "bool" },
      { path: `${path}.messageExpression`, text: messageExpression, variables: inner, type: "string" },
    );
  }
  for (const [index, { valueExpression = "" }] of (spec.auditAnnotations ?? []).entries())
    found.push({
      path: `spec.auditAnnotations[${index}].valueExpression`,
      text: valueExpression,
      variables: inner,
    });
  return found;
}
