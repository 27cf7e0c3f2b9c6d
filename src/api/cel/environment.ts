/**
 * The CEL environment of Kubernetes: the language by `@marcbachmann/cel-js`, plus the libraries that
 * upstream adds (k8s.io/apiserver, pkg/cel/library): strings, lists, regular expressions, URLs, IP
 * addresses, CIDRs, quantities, sets. One environment per set of variables, made once: it is expensive.
 */
import { Environment } from "@marcbachmann/cel-js";
import { registerAddresses } from "./library-addresses.ts";
import { registerFormats } from "./library-formats.ts";
import { registerLists } from "./library-lists.ts";
import { registerQuantities } from "./library-quantities.ts";
import { registerStrings } from "./library-strings.ts";
import { registerUrls } from "./library-urls.ts";
import { registerOptionals } from "./optional.ts";
import type { SyntaxNode } from "./syntax-tree.ts";

let plain: Environment | undefined;
const environments = new Map<string, Environment>();

/** An environment with all libraries and no variables, to be completed. */
export function newEnvironment(): Environment {
  if (plain === undefined) {
    plain = new Environment({ homogeneousAggregateLiterals: false, enableOptionalTypes: true });
    registerStrings(plain);
    registerLists(plain);
    registerUrls(plain);
    registerAddresses(plain);
    registerQuantities(plain);
    registerFormats(plain);
    registerOptionals(plain);
  }
  return plain.clone();
}

/** The environment in which these variables are known, all of them of dynamic type. */
export function environmentFor(variables: readonly string[]): Environment {
  const key = [...variables].sort().join(" ");
  let environment = environments.get(key);
  if (environment === undefined) {
    environment = newEnvironment();
    for (const name of variables) environment.registerVariable(name, "dyn");
    // Without types, objects are maps here.
    environment.registerOperator("map == null", () => false);
    environments.set(key, environment);
  }
  return environment;
}

/** A compiled expression. */
export interface Expression {
  text: string;
  root: SyntaxNode;
  evaluate(variables: Record<string, unknown>): unknown;
}

/** Throws CelCompileError where the expression is malformed or names what is not there. */
export function compileExpression(text: string, variables: readonly string[]): Expression {
  try {
    const parsed = environmentFor(variables).parse(text);
    const check = parsed.check();
    if (!check.valid) throw check.error ?? new Error("the expression is not valid");
    const root = parsed.ast as unknown as SyntaxNode;
    return { text, root, evaluate: (context) => parsed(context) as unknown };
  } catch (error) {
    throw new CelCompileError(firstLine(error), { cause: error });
  }
}

export class CelCompileError extends Error {
  override name = "CelCompileError";
}

/** The library's texts go on with an excerpt of the expression. */
export function firstLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const line = message.split("\n")[0] ?? "";
  return line.replace(/^No such key: /, "no such key: ");
}
