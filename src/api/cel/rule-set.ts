/**
 * The x-kubernetes-validations of a schema: compiled once, evaluated for each object. Rules that name
 * oldSelf are about transitions: they run only where there is an old value to compare with.
 */
import { duplicate, forbidden, invalid, required } from "#kinds/field-error.ts";
import type { FieldError } from "#kinds/field-error.ts";
import type { Schema } from "#kinds/schema.ts";
import { equalJson, isObject, own } from "#api/patch/json.ts";
import { CelCompileError, compileExpression, firstLine } from "./environment.ts";
import type { Expression } from "./environment.ts";
import { toCel } from "./values.ts";

type SchemaRule = NonNullable<Schema["x-kubernetes-validations"]>[number];

interface Rule {
  source: SchemaRule;
  isTransition: boolean;
  expression: Expression | CelCompileError;
  message: Expression | undefined;
}

const variables = ["self", "oldSelf"];

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
    const errors: FieldError[] = [];
    this.#visit(value, old, this.#schema, "", errors);
    return errors;
  }

  #collect(schema: Schema): void {
    const rules = schema["x-kubernetes-validations"];
    if (rules !== undefined && rules.length > 0) this.#rules.set(schema, rules.map(compileRule));
    for (const property of Object.values(schema.properties ?? {})) this.#collect(property);
    if (schema.items !== undefined) this.#collect(schema.items);
    if (typeof schema.additionalProperties === "object") this.#collect(schema.additionalProperties);
  }

  #visit(value: unknown, old: unknown, schema: Schema, path: string, errors: FieldError[]): void {
    if (value === undefined || value === null) return;
    const rules = this.#rules.get(schema);
    if (rules !== undefined) evaluateRules(rules, value, old, schema, path, errors);
    if (Array.isArray(value)) {
      const { items } = schema;
      if (items !== undefined)
        for (const [index, each] of value.entries())
          this.#visit(each, correlate(each, old, schema), items, `${path}[${index}]`, errors);
    } else if (isObject(value)) {
      for (const key of Object.keys(value)) {
        const property = own(schema.properties, key);
        const before = isObject(old) ? own(old, key) : undefined;
        if (property !== undefined)
          this.#visit(value[key], before, property, path === "" ? key : `${path}.${key}`, errors);
        else if (typeof schema.additionalProperties === "object")
          this.#visit(value[key], before, schema.additionalProperties, `${path}[${key}]`, errors);
      }
    }
  }
}

/** Throws CelCompileError where a rule of the schema node can't be compiled. */
export function checkRule(rule: SchemaRule): void {
  compileExpression(rule.rule, variables);
  if (rule.messageExpression !== undefined) compileExpression(rule.messageExpression, variables);
}

function compileRule(source: SchemaRule): Rule {
  return {
    source,
    isTransition: /\boldSelf\b/.test(source.rule),
    expression: compiled(source.rule),
    message: messageOf(source),
  };
}

function compiled(text: string): Expression | CelCompileError {
  try {
    return compileExpression(text, variables);
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
  errors: FieldError[],
): void {
  const field = path === "" ? "<nil>" : path;
  const context = {
    self: toCel(value, schema),
    ...(old === undefined ? {} : { oldSelf: toCel(old, schema) }),
  };
  for (const rule of rules) {
    if (rule.isTransition && old === undefined && rule.source.optionalOldSelf !== true) continue;
    // What did not change is not judged again, unless the change itself is the matter.
    if (!rule.isTransition && old !== undefined && equalJson(value, old)) continue;
    const type = schema.type ?? "object";
    if (rule.expression instanceof CelCompileError) {
      errors.push(invalid(field, type, `rule compile error: ${rule.expression.message}`));
      continue;
    }
    try {
      if (rule.expression.evaluate(context) !== true) errors.push(failure(rule, field, type, context));
    } catch (error) {
      const text = rule.source.message?.trim() ?? rule.source.rule.trim();
      errors.push(invalid(field, type, `${firstLine(error)} evaluating rule: ${text}`));
    }
  }
}

function failure(rule: Rule, at: string, type: string, context: Record<string, unknown>): FieldError {
  const { source } = rule;
  const field =
    source.fieldPath === undefined
      ? at
      : at === "<nil>"
        ? source.fieldPath.replace(/^\./, "")
        : at + source.fieldPath;
  const detail = messageText(rule, context);
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

function messageText({ source, message }: Rule, context: Record<string, unknown>): string {
  if (message !== undefined) {
    try {
      const text = message.evaluate(context);
      if (typeof text === "string" && text.trim() !== "" && !text.includes("\n")) return text;
    } catch {
      // A message that can't be made gives way to the fixed one, as upstream has it.
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
