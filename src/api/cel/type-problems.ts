/** What the checker finds wrong with the types of an expression, in the words and at the places of cel-go. */
import { newEnvironment } from "./environment.ts";
import { compilationFailed } from "./expression-errors.ts";
import { callOf } from "./syntax-tree.ts";
import type { SyntaxNode } from "./syntax-tree.ts";

/** The error is what the library's check has found. */
export function typeProblem(text: string, error: unknown): string {
  const { code, node, message } = error as { code?: string; node?: SyntaxNode; message?: string };
  const said = (message ?? "").split("\n")[0] ?? "";
  if (node === undefined) return compilationFailed(text, 0, said);
  const [at, what] = describe(code ?? "", node, said, text);
  return compilationFailed(text, at, what);
}

function describe(code: string, node: SyntaxNode, said: string, text: string): [number, string] {
  switch (code) {
    case "unknown_variable":
      return [node.start, `undeclared reference to '${String(node.args)}' (in container '')`];
    case "no_such_key":
      return [dotOf(node, text), `undefined field '${fieldOf(node)}'`];
    case "cannot_index_type": {
      const [operand] = node.args as [SyntaxNode];
      return [
        dotOf(node, text),
        `type '${typeText(operand.checkedType?.name ?? "")}' does not support field selection`,
      ];
    }
    case "no_matching_overload":
      return callProblem(node, said, text);
    case "no_such_overload":
    case "invalid_logical_operand":
      return operatorProblem(node, text);
    default:
      return said.startsWith("Ternary") ? ternaryProblem(node, said, text) : [node.start, said];
  }
}

/** The library points at the condition where that is wrong, else at the whole. */
function ternaryProblem(node: SyntaxNode, said: string, text: string): [number, string] {
  if (node.op !== "?:") return [node.start, said];
  const operands = node.args as SyntaxNode[];
  const types = operands.map((each) => typeText(each.checkedType?.name ?? "dyn")).join(", ");
  const at = text.indexOf("?", operands[0]?.end ?? node.start);
  return [at, `found no matching overload for '_?_:_' applied to '(${types})'`];
}

function fieldOf(node: SyntaxNode): string {
  const [, field] = node.args as [SyntaxNode, string | SyntaxNode];
  return typeof field === "string" ? field : String(field.args);
}

function dotOf(node: SyntaxNode, text: string): number {
  const [operand] = node.args as [SyntaxNode];
  const at = text.indexOf(".", operand.end);
  return at < 0 ? node.start : at;
}

function callProblem(node: SyntaxNode, said: string, text: string): [number, string] {
  const call = callOf(node);
  if (call === undefined) return [node.start, said];
  const { name, target, args } = call;
  const at = Math.max(node.start, text.indexOf("(", (target?.end ?? node.start) + name.length));
  const types = (nodes: readonly SyntaxNode[]) =>
    nodes.map((each) => typeText(each.checkedType?.name ?? "dyn")).join(", ");
  if (!isFunction(name)) return [at, `undeclared reference to '${name}' (in container '')`];
  const on = target === undefined ? "" : `${types([target])}.`;
  return [at, `found no matching overload for '${name}' applied to '${on}(${types(args)})'`];
}

function operatorProblem(node: SyntaxNode, text: string): [number, string] {
  const operands = node.op.endsWith("_") ? [node.args as SyntaxNode] : (node.args as SyntaxNode[]);
  const types = operands.map((each) => typeText(each.checkedType?.name ?? "dyn")).join(", ");
  const name = node.op === "in" ? "@in" : node.op.endsWith("_") ? node.op : `_${node.op}_`;
  const sign = node.op.replace("_", "");
  const after = operands.length > 1 ? (operands[0]?.end ?? node.start) : node.start;
  return [
    Math.max(node.start, text.indexOf(sign, after)),
    `found no matching overload for '${name}' applied to '(${types})'`,
  ];
}

/** As cel-go writes types: list(string), map(string, int), timestamp. */
function typeText(name: string): string {
  return name
    .replaceAll("google.protobuf.Timestamp", "timestamp")
    .replaceAll("google.protobuf.Duration", "duration")
    .replaceAll("optional<", "optional_type(")
    .replaceAll("<", "(")
    .replaceAll(">", ")");
}

let functions: ReadonlySet<string> | undefined;

/** Whether there is a function of this name, on some type or other. */
function isFunction(name: string): boolean {
  functions ??= new Set(
    newEnvironment()
      .getDefinitions()
      .functions.map((each) => each.name),
  );
  return functions.has(name);
}
