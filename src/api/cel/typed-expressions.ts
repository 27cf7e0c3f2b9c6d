/**
 * Expressions about values that a schema describes, checked before they are stored: syntax, names, types,
 * and what they can cost. They are evaluated elsewhere, without these types.
 */
import type { Environment } from "@marcbachmann/cel-js";
import { estimateCost } from "./cost-estimate.ts";
import type { DeclaredType } from "./declared-type.ts";
import { newEnvironment } from "./environment.ts";
import { compilationFailed, syntaxError } from "./expression-errors.ts";
import { names } from "./syntax-tree.ts";
import type { SyntaxNode } from "./syntax-tree.ts";
import { typeProblem } from "./type-problems.ts";

export interface CheckedExpression {
  /** "compilation failed: …", with the place. */
  problem: string | undefined;
  /** CEL's name of the type of its value. */
  type: string;
  cost: number;
  usesOldSelf: boolean;
}

/** For the rules of one place in a schema. Making one takes a moment: only where there are rules. */
export class TypedExpressions {
  readonly #self: DeclaredType;
  readonly #environments = new Map<boolean, Environment>();

  constructor(self: DeclaredType) {
    this.#self = self;
  }

  /** `hasOptionalOldSelf`: oldSelf is an optional value, as rules that also run on creation see it. */
  check(text: string, hasOptionalOldSelf: boolean): CheckedExpression {
    const nothing = { type: "", cost: 0, usesOldSelf: false };
    let parsed: ReturnType<Environment["parse"]>;
    try {
      parsed = this.#environment(hasOptionalOldSelf).parse(text);
    } catch (error) {
      return { ...nothing, problem: syntaxError(text, error) };
    }
    const root = parsed.ast as unknown as SyntaxNode;
    const usesOldSelf = names(root, "oldSelf");
    const { valid, type, error } = parsed.check();
    if (!valid) return { ...nothing, usesOldSelf, problem: typeProblem(text, error) };
    const { cost, undefinedField } = estimateCost(root, { self: this.#self, oldSelf: this.#self });
    if (undefinedField !== undefined) {
      const [operand, field] = undefinedField.args as [SyntaxNode, string];
      const at = text.indexOf(".", operand.end);
      return { ...nothing, usesOldSelf, problem: compilationFailed(text, at, `undefined field '${field}'`) };
    }
    return { problem: undefined, type: type ?? "dyn", cost, usesOldSelf };
  }

  #environment(hasOptionalOldSelf: boolean): Environment {
    let environment = this.#environments.get(hasOptionalOldSelf);
    if (environment === undefined) {
      environment = newEnvironment();
      registerObjects(environment, this.#self);
      const { cel } = this.#self;
      environment.registerVariable("self", cel);
      environment.registerVariable("oldSelf", hasOptionalOldSelf ? `optional<${cel}>` : cel);
      this.#environments.set(hasOptionalOldSelf, environment);
    }
    return environment;
  }
}

/** Makes all object types in a type known. */
export function registerObjects(environment: Environment, self: DeclaredType): void {
  for (const type of objectsIn(self)) {
    environment.registerType(type.cel, { fields: fieldsOf(type) });
    environment.registerOperator(`${type.cel} == ${type.cel}`, neverEvaluated);
    environment.registerOperator(`${type.cel} == null`, neverEvaluated);
  }
}

/** Of these environments only the types are used. */
function neverEvaluated(): boolean {
  return false;
}

/** All object types in a type, the inner ones first. */
function objectsIn(type: DeclaredType): DeclaredType[] {
  const inner = [...(type.fields?.values() ?? []), ...(type.element === undefined ? [] : [type.element])];
  return [...inner.flatMap(objectsIn), ...(type.kind === "object" ? [type] : [])];
}

function fieldsOf(type: DeclaredType): Record<string, string> {
  return Object.fromEntries([...(type.fields ?? [])].map(([name, field]) => [name, field.cel]));
}
