/**
 * The x-kubernetes-validations of a schema: compiled once, evaluated for each object. Rules that name
 * oldSelf are about transitions: they run only where there is an old value to compare with.
 */
import { duplicate, forbidden, invalid, required } from "#kinds/field-error.ts";
import type { FieldError } from "#kinds/field-error.ts";
import type { Schema } from "#kinds/schema.ts";
import { equalJson, isObject, own } from "#api/patch/json.ts";
import { CostExceeded, CostMeter, meter, metered } from "./cost-meter.ts";
import { CelCompileError, compileExpression, firstLine } from "./environment.ts";
import type { Expression } from "./environment.ts";
import { resolveFieldPath } from "./field-path.ts";
import { optionalOf } from "./optional.ts";
import { names } from "./syntax-tree.ts";
import { toCel } from "./values.ts";

type SchemaRule = NonNullable<Schema["x-kubernetes-validations"]>[number];

interface Rule {
  source: SchemaRule;
  isTransition: boolean;
  expression: Expression | CelCompileError;
  message: Expression | undefined;
}

const variables = ["self", "oldSelf"];

/** What the rules of one object may cost together, and what one of them may. */
const costBudget = 10_000_000;
const callCostMax = 1_000_000;
const messageBytesMax = 5 * 1024;

export class RuleSet {
  readonly #schema: Schema;
  readonly #rules = new Map<Schema, Rule[]>();

  constructor(schema: Schema) {
    this.#schema = schema;
    this.#collect(schema);
  }

  get isEmpty(): boolean {
    return this.#rules.size === 0;
  }

  validate(value: unknown, old: unknown): FieldError[] {
    const validation: Validation = { errors: [], budget: costBudget };
    this.#visit(value, old, this.#schema, "", validation);
    return validation.errors;
  }

  #collect(schema: Schema): void {
    const rules = schema["x-kubernetes-validations"];
    if (rules !== undefined && rules.length > 0) this.#rules.set(schema, rules.map(compileRule));
    for (const property of Object.values(schema.properties ?? {})) this.#collect(property);
    if (schema.items !== undefined) this.#collect(schema.items);
    if (typeof schema.additionalProperties === "object") this.#collect(schema.additionalProperties);
  }

  #visit(value: unknown, old: unknown, schema: Schema, path: string, validation: Validation): void {
    if (value === undefined || value === null || validation.budget < 0) return;
    const rules = this.#rules.get(schema);
    if (rules !== undefined) evaluateRules(rules, value, old, schema, path, validation);
    if (Array.isArray(value)) {
      const { items } = schema;
      if (items !== undefined)
        for (const [index, each] of value.entries())
          this.#visit(each, correlate(each, old, schema), items, `${path}[${index}]`, validation);
    } else if (isObject(value)) {
      const isCorrelatable = schema["x-kubernetes-map-type"] !== "atomic";
      for (const key of Object.keys(value)) {
        const property = own(schema.properties, key);
        const before = isCorrelatable && isObject(old) ? own(old, key) : undefined;
        if (property !== undefined)
          this.#visit(value[key], before, property, path === "" ? key : `${path}.${key}`, validation);
        else if (typeof schema.additionalProperties === "object")
          this.#visit(value[key], before, schema.additionalProperties, `${path}[${key}]`, validation);
      }
    }
  }
}

interface Validation {
  errors: FieldError[];
  /** What may still be spent. Below zero: nothing more is evaluated. */
  budget: number;
}

function compileRule(source: SchemaRule): Rule {
  const expression = compiled(source.rule);
  return {
    source,
    isTransition: !(expression instanceof CelCompileError) && names(expression.root, "oldSelf"),
    expression,
    message: messageOf(source),
  };
}

function compiled(text: string): Expression | CelCompileError {
  try {
    const expression = compileExpression(text, variables);
    meter(expression.root);
    return expression;
  } catch (error) {
    if (error instanceof CelCompileError) return error;
    throw error;
  }
}

function messageOf(source: SchemaRule): Expression | undefined {
  if (source.messageExpression === undefined) return undefined;
  const expression = compiled(source.messageExpression);
  return expression instanceof CelCompileError ? undefined : expression;
}

function evaluateRules(
  rules: readonly Rule[],
  value: unknown,
  old: unknown,
  schema: Schema,
  path: string,
  validation: Validation,
): void {
  const field = path === "" ? "<nil>" : path;
  const type = schema.type ?? "object";
  const self = toCel(value, schema);
  const before = old === undefined ? undefined : toCel(old, schema);
  for (const rule of rules) {
    if (rule.isTransition && old === undefined && rule.source.optionalOldSelf !== true) continue;
    // What did not change is not judged again, unless the change itself is the matter.
    if (!rule.isTransition && old !== undefined && equalJson(value, old)) continue;
    if (rule.expression instanceof CelCompileError) {
      validation.errors.push(invalid(field, type, `rule compile error: ${rule.expression.message}`));
      continue;
    }
    const oldSelf = rule.source.optionalOldSelf === true ? optionalOf(before) : before;
    const context = { self, ...(oldSelf === undefined ? {} : { oldSelf }) };
    evaluateRule(rule, rule.expression, field, schema, context, validation);
    if (validation.budget < 0) return;
  }
}

function evaluateRule(
  rule: Rule,
  expression: Expression,
  field: string,
  schema: Schema,
  context: Record<string, unknown>,
  validation: Validation,
): void {
  const { errors } = validation;
  const type = schema.type ?? "object";
  const cost = new CostMeter(callCostMax);
  try {
    const isHeld = metered(cost, () => expression.evaluate(context)) === true;
    if (!isWithinBudget(validation, cost, field, type)) return;
    if (!isHeld) errors.push(failure(rule, field, schema, type, context, validation));
  } catch (error) {
    if (!isWithinBudget(validation, cost, field, type)) return;
    const text = rule.source.message?.trim() ?? rule.source.rule.trim();
    const said = firstLine(error);
    if (error instanceof CostExceeded) {
      validation.budget = -1;
      errors.push(
        invalid(
          field,
          type,
          `'${said}': no further validation rules will be run due to call cost exceeds limit for rule: ${text}`,
        ),
      );
    } else if (said.startsWith("no such overload"))
      errors.push(
        invalid(
          field,
          type,
          `'${said}': call arguments did not match a supported operator, function or macro signature for rule: ${text}`,
        ),
      );
    else errors.push(invalid(field, type, `${said} evaluating rule: ${text}`));
  }
}

function isWithinBudget(validation: Validation, cost: CostMeter, field: string, type: string): boolean {
  validation.budget -= cost.spent;
  if (validation.budget >= 0) return true;
  validation.errors.push(
    invalid(
      field,
      type,
      "validation failed due to running out of cost budget, no further validation rules will be run",
    ),
  );
  return false;
}

function failure(
  rule: Rule,
  at: string,
  schema: Schema,
  type: string,
  context: Record<string, unknown>,
  validation: Validation,
): FieldError {
  const { source } = rule;
  const below = source.fieldPath === undefined ? undefined : resolveFieldPath(source.fieldPath, schema);
  const field = below === undefined ? at : at === "<nil>" ? below.replace(/^\./, "") : at + below;
  const detail = messageText(rule, context, validation);
  switch (source.reason) {
    case "FieldValueForbidden":
      return forbidden(field, detail);
    case "FieldValueRequired":
      return required(field, detail);
    case "FieldValueDuplicate":
      return duplicate(field, type);
    default:
      return invalid(field, type, detail);
  }
}

function messageText(
  { source, message }: Rule,
  context: Record<string, unknown>,
  validation: Validation,
): string {
  if (message !== undefined) {
    const cost = new CostMeter(Math.min(callCostMax, validation.budget));
    try {
      const made = metered(cost, () => message.evaluate(context));
      const text = typeof made === "string" ? made.trim() : "";
      if (text !== "" && !text.includes("\n") && Buffer.byteLength(text) <= messageBytesMax) return text;
    } catch {
      // A message that can't be made gives way to the fixed one, as upstream has it.
    } finally {
      validation.budget -= cost.spent;
    }
  }
  return source.message === undefined || source.message === ""
    ? `failed rule: ${source.rule.trim()}`
    : source.message.trim();
}

function correlate(element: unknown, old: unknown, schema: Schema): unknown {
  const keys = schema["x-kubernetes-list-map-keys"];
  if (schema["x-kubernetes-list-type"] !== "map" || keys === undefined) return undefined;
  if (!Array.isArray(old) || !isObject(element)) return undefined;
  return old.find(
    (each) => isObject(each) && keys.every((key) => equalJson(each[key], element[key])),
  ) as unknown;
}
