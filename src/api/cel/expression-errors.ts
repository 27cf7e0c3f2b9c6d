/**
 * Whether an expression is one, for what is stored before it is ever evaluated: its syntax, the variables
 * that it names, and the type of its value. The words are upstream's where clients see them often.
 */
import { environmentFor } from "./environment.ts";

export interface ExpressionPlace {
  /** The variables that are there. */
  variables: readonly string[];
  /** CEL's name of the type that the value must have. Undefined: any. */
  type?: "bool" | "string";
}

/** What is wrong with the expression; undefined: nothing that can be told before it runs. */
export function expressionProblem(text: string, place: ExpressionPlace): string | undefined {
  let parsed: ReturnType<ReturnType<typeof environmentFor>["parse"]>;
  try {
    parsed = environmentFor(place.variables).parse(text);
  } catch (error) {
    return syntaxError(text, error);
  }
  const { valid, type, error } = parsed.check();
  if (!valid) {
    const message = error?.message.split("\n")[0] ?? "";
    const unknown = /^Unknown variable: (.*)$/.exec(message)?.[1];
    const at = rangeOf(error).start;
    if (unknown !== undefined)
      return compilationFailed(text, at, `undeclared reference to '${unknown}' (in container '')`);
    // Functions that only upstream has are found missing when the expression runs.
    return message.startsWith("no such overload")
      ? compilationFailed(text, at, message.replace("no such overload", "found no matching overload"))
      : undefined;
  }
  if (place.type === undefined || type === place.type || type === "dyn" || type === undefined)
    return undefined;
  return `must evaluate to ${place.type} but got ${String(type)}`;
}

/** For what the parser has thrown. */
export function syntaxError(text: string, error: unknown): string {
  return compilationFailed(text, rangeOf(error).start, `Syntax error: ${syntaxProblem(text, error)}`);
}

/** With the line in question and a mark below it, as CEL's own reports have it. */
export function compilationFailed(text: string, offset: number, what: string): string {
  const before = text.slice(0, offset).split("\n");
  const column = before.at(-1)?.length ?? 0;
  const line = text.split("\n")[before.length - 1] ?? "";
  return `compilation failed: ERROR: <input>:${before.length}:${column + 1}: ${what}\n | ${line}\n | ${".".repeat(column)}^`;
}

const beginnings = ["'.'", "'-'", "'!'", "'true'", "'false'", "'null'", "NUM_FLOAT", "NUM_INT", "NUM_UINT"];
const literals = ["STRING", "BYTES", "IDENTIFIER"];

function syntaxProblem(text: string, error: unknown): string {
  const message = (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
  const { start, end } = rangeOf(error);
  if (message.startsWith("Unexpected character"))
    return `mismatched input '${text.slice(start, end)}' expecting <EOF>`;
  if (message.startsWith("Expected IDENTIFIER")) return `no viable alternative at input '.'`;
  if (message === "Unexpected token: EOF") {
    const brackets = ["'['", "'{'", "'('", ...(text.trimEnd().endsWith("(") ? ["')'"] : [])];
    return `mismatched input '<EOF>' expecting {${[...brackets, ...beginnings, ...literals].join(", ")}}`;
  }
  return message;
}

function rangeOf(error: unknown): { start: number; end: number } {
  return (error as { range?: { start: number; end: number } } | undefined)?.range ?? { start: 0, end: 0 };
}
