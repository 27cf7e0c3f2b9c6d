/** The library's syntax tree, as far as it is walked here. */

export interface SyntaxNode {
  op: string;
  args: unknown;
  /** Offsets in the expression. */
  start: number;
  end: number;
  pos: number;
  /** Once the expression has been checked. */
  checkedType?: { name: string; kind: string };
}

/** A call: of a function, or of an object's. Macros are calls too. */
export interface Call {
  name: string;
  target: SyntaxNode | undefined;
  args: readonly SyntaxNode[];
}

export function callOf(node: SyntaxNode): Call | undefined {
  if (node.op === "call") {
    const [name, args] = node.args as [string, SyntaxNode[]];
    return { name, target: undefined, args };
  }
  if (node.op !== "rcall") return undefined;
  const [name, target, args] = node.args as [string, SyntaxNode, SyntaxNode[]];
  return { name, target, args };
}

/** The nodes below a node, in the order of the text. */
export function childrenOf(node: SyntaxNode): SyntaxNode[] {
  const call = callOf(node);
  if (call !== undefined) return call.target === undefined ? [...call.args] : [call.target, ...call.args];
  switch (node.op) {
    case "value":
    case "id":
      return [];
    case ".":
    case ".?":
      return [(node.args as [SyntaxNode, string])[0]];
    case "map":
      return (node.args as [SyntaxNode, SyntaxNode][]).flat();
    case "!_":
    case "-_":
      return [node.args as SyntaxNode];
    default:
      return node.args as SyntaxNode[];
  }
}

/** Whether the expression names a variable. */
export function names(node: SyntaxNode, variable: string): boolean {
  if (node.op === "id") return node.args === variable;
  return childrenOf(node).some((each) => names(each, variable));
}
