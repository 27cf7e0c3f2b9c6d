/**
 * The x-kubernetes-validations of a definition: that each can be compiled, gives a bool, uses oldSelf only
 * where an old value can be found, and that none of them, nor all together, can cost too much.
 */
import { forbidden, invalid, notSupported, required } from "#kinds/field-error.ts";
import type { FieldError } from "#kinds/field-error.ts";
import type { Schema } from "#kinds/schema.ts";
import { cardinalityOf, declaredType } from "#api/cel/declared-type.ts";
import type { DeclaredType } from "#api/cel/declared-type.ts";
import { resolveFieldPath } from "#api/cel/field-path.ts";
import { TypedExpressions } from "#api/cel/typed-expressions.ts";
import { isObject } from "#api/patch/json.ts";

type Rule = NonNullable<Schema["x-kubernetes-validations"]>[number];

/** Upstream's limits for one expression and for a whole schema. */
const expressionCostMax = 10_000_000;
const schemaCostMax = 100_000_000;
const mostExpensiveCount = 4;

const reasons = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/** The texts beside the expressions. To be checked with the schema itself. */
export function validateRuleTexts(schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, rule] of (schema["x-kubernetes-validations"] ?? []).entries()) {
    const at = `${path}.x-kubernetes-validations[${index}]`;
    const message = rule.message ?? "";
    if ((rule.rule ?? "").trim() === "") errors.push(required(`${at}.rule`, "rule is not specified"));
    else if (message !== "" && message.trim() === "")
      errors.push(invalid(`${at}.message`, message, "message must be non-empty if specified"));
    else if (hasNewline(message.trim()))
      errors.push(invalid(`${at}.message`, message, "message must not contain line breaks"));
    else if (hasNewline(rule.rule.trim()) && message.trim() === "")
      errors.push(required(`${at}.message`, "message must be specified if rule contains line breaks"));
    if (
      rule.messageExpression !== undefined &&
      rule.messageExpression !== "" &&
      rule.messageExpression.trim() === ""
    )
      errors.push(required(`${at}.messageExpression`, "messageExpression must be non-empty if specified"));
    if (rule.reason !== undefined && !reasons.includes(rule.reason))
      errors.push(notSupported(`${at}.reason`, rule.reason, reasons));
    errors.push(...validateFieldPath(rule.fieldPath ?? "", schema, `${at}.fieldPath`));
  }
  return errors;
}

function validateFieldPath(fieldPath: string, schema: Schema, at: string): FieldError[] {
  if (fieldPath === "") return [];
  const errors: FieldError[] = [];
  if (fieldPath.trim() === "")
    errors.push(invalid(at, fieldPath, "fieldPath must be non-empty if specified"));
  if (hasNewline(fieldPath)) errors.push(invalid(at, fieldPath, "fieldPath must not contain line breaks"));
  if (resolveFieldPath(fieldPath, schema) === undefined)
    errors.push(invalid(at, fieldPath, "fieldPath must be a valid path"));
  return errors;
}

function hasNewline(text: string): boolean {
  return /[\n\r]/.test(text);
}

/** The expressions of a schema that is otherwise in order. `path` is where it stands. */
export function validateRules(schema: Schema, path: string): FieldError[] {
  const checker = new RuleChecker();
  checker.visit(schema, path, { cardinality: 1, uncorrelatable: undefined, isWhole: true });
  return [...checker.errors, ...checker.total(path)];
}

interface Place {
  /** How many such values an object can have; undefined where the schema sets no limit. */
  cardinality: number | undefined;
  /** Where above the old values are lost. */
  uncorrelatable: string | undefined;
  isWhole: boolean;
}

class RuleChecker {
  readonly errors: FieldError[] = [];
  readonly #costs: { path: string; cost: number }[] = [];

  visit(schema: Schema, path: string, place: Place): void {
    const rules = schema["x-kubernetes-validations"] ?? [];
    if (rules.length > 0) this.#check(rules, schema, path, place);
    const { cardinality } = place;
    const times = (count: number | undefined) =>
      cardinality === undefined || count === undefined ? undefined : cardinality * count;
    const isAtomicMap = schema["x-kubernetes-map-type"] === "atomic";
    const lost = isAtomicMap ? (place.uncorrelatable ?? path) : place.uncorrelatable;
    for (const [name, property] of Object.entries(schema.properties ?? {}))
      this.visit(property, `${path}.properties[${name}]`, {
        cardinality,
        uncorrelatable: lost,
        isWhole: property["x-kubernetes-embedded-resource"] === true,
      });
    const { items, additionalProperties } = schema;
    if (isObject(items))
      this.visit(items, `${path}.items`, {
        cardinality: times(schema.maxItems),
        uncorrelatable:
          schema["x-kubernetes-list-type"] === "map" ? place.uncorrelatable : (place.uncorrelatable ?? path),
        isWhole: items["x-kubernetes-embedded-resource"] === true,
      });
    if (isObject(additionalProperties))
      this.visit(additionalProperties, `${path}.additionalProperties`, {
        cardinality: times(schema.maxProperties),
        uncorrelatable: place.uncorrelatable,
        isWhole: additionalProperties["x-kubernetes-embedded-resource"] === true,
      });
  }

  #check(rules: readonly Rule[], schema: Schema, path: string, place: Place): void {
    const type = declaredType(schema, place.isWhole);
    if (type === undefined) return;
    const expressions = new TypedExpressions(type);
    for (const [index, rule] of rules.entries())
      this.#checkRule(rule, expressions, type, `${path}.x-kubernetes-validations[${index}]`, place);
  }

  #checkRule(rule: Rule, expressions: TypedExpressions, type: DeclaredType, at: string, place: Place): void {
    const { errors } = this;
    const isOptional = rule.optionalOldSelf === true;
    const checked = expressions.check(rule.rule, isOptional);
    this.#observe(`${at}.rule`, checked.cost * (place.cardinality ?? cardinalityOf(type)), "rule");
    if (checked.problem !== undefined) errors.push(invalid(`${at}.rule`, goRule(rule), checked.problem));
    else if (checked.type !== "bool" && checked.type !== "dyn")
      errors.push(invalid(`${at}.rule`, goRule(rule), "cel expression must evaluate to a bool"));
    if (rule.messageExpression !== undefined && rule.messageExpression !== "") {
      const message = expressions.check(rule.messageExpression, isOptional);
      const field = `${at}.messageExpression`;
      if (message.problem !== undefined)
        errors.push(invalid(field, goRule(rule), `messageExpression ${message.problem}`));
      else if (message.type !== "string" && message.type !== "dyn")
        errors.push(invalid(field, goRule(rule), "messageExpression must evaluate to a string"));
      else this.#observe(field, message.cost, "messageExpression");
    }
    if (checked.usesOldSelf) {
      if (place.uncorrelatable !== undefined)
        errors.push(
          invalid(
            `${at}.rule`,
            rule.rule,
            `oldSelf cannot be used on the uncorrelatable portion of the schema within ${place.uncorrelatable}`,
          ),
        );
    } else if (rule.optionalOldSelf !== undefined)
      errors.push(
        invalid(
          `${at}.optionalOldSelf`,
          rule.optionalOldSelf,
          "may not be set if oldSelf is not used in rule",
        ),
      );
  }

  #observe(path: string, cost: number, what: string): void {
    this.#costs.push({ path, cost });
    if (cost > expressionCostMax)
      this.errors.push(forbidden(path, excess(`estimated ${what} cost`, cost, expressionCostMax)));
  }

  total(path: string): FieldError[] {
    const cost = this.#costs.reduce((sum, each) => sum + each.cost, 0);
    if (cost <= schemaCostMax) return [];
    const expensive = this.#costs
      .filter((each) => each.cost >= schemaCostMax / 100)
      .toSorted((left, right) => right.cost - left.cost)
      .slice(0, mostExpensiveCount);
    const contributed =
      "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
    const total = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
    return [
      ...expensive.map((each) => forbidden(each.path, contributed)),
      forbidden(path, excess(total, cost, schemaCostMax)),
    ];
  }
}

function excess(what: string, cost: number, limit: number): string {
  const factor = cost / limit;
  const shown =
    factor > 100 ? "more than 100x" : factor < 1.5 ? `${factor.toFixed(6)}x` : `${factor.toFixed(1)}x`;
  return `${what} exceeds budget by factor of ${shown} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)`;
}

/** As Go prints upstream's internal type of a rule. */
function goRule(rule: Rule): { goSyntax: string } {
  const text = (value: string | undefined) => JSON.stringify(value ?? "");
  const pointer = (type: string, value: unknown) =>
    `(*${type})(${value === undefined ? "nil" : "0xc000000000"})`;
  return {
    goSyntax:
      `apiextensions.ValidationRule{Rule:${text(rule.rule)}, Message:${text(rule.message)}, ` +
      `MessageExpression:${text(rule.messageExpression)}, ` +
      `Reason:${pointer("apiextensions.FieldValueErrorReason", rule.reason)}, ` +
      `FieldPath:${text(rule.fieldPath)}, OptionalOldSelf:${pointer("bool", rule.optionalOldSelf)}}`,
  };
}
