/**
 * What an expression can cost at most, from the declared sizes of what it reads (cel-go, checker/cost.go,
 * and k8s.io/apiserver, pkg/cel/library/cost.go). One unit is about the cost of reading a field. Sizes and
 * costs are 64-bit there: what is beyond is the largest of them.
 */
import type { DeclaredType } from "./declared-type.ts";
import { callOf } from "./syntax-tree.ts";
import type { Call, SyntaxNode } from "./syntax-tree.ts";

const unknownSize = 2 ** 64;
const listBase = 10;
const mapBase = 30;
const perCharacter = 0.1;
const perPatternCharacter = 0.25;

interface Costed {
  cost: number;
  size: number;
  /** What the schema says of the value. */
  declared?: DeclaredType | undefined;
  /** The largest element of a list that the expression itself makes. */
  elementSize?: number | undefined;
}

export interface CostEstimate {
  cost: number;
  /** A field in a has(…) that its object does not have: the checker does not look there. */
  undefinedField: SyntaxNode | undefined;
}

/** For a checked expression. `variables` are self and oldSelf, with what is declared of them. */
export function estimateCost(
  node: SyntaxNode,
  variables: Readonly<Record<string, DeclaredType>>,
): CostEstimate {
  const estimator = new Estimator(variables);
  const { cost } = estimator.of(node);
  return { cost: Math.min(cost, unknownSize), undefinedField: estimator.undefinedField };
}

class Estimator {
  undefinedField: SyntaxNode | undefined;
  readonly #scope: Map<string, Omit<Costed, "cost">>;
  readonly #rootSize: number;

  constructor(variables: Readonly<Record<string, DeclaredType>>) {
    this.#rootSize = variables["self"]?.maxElements ?? unknownSize;
    this.#scope = new Map(
      Object.entries(variables).map(([name, declared]) => [name, { declared, size: declared.maxElements }]),
    );
  }

  of(node: SyntaxNode): Costed {
    const call = callOf(node);
    if (call !== undefined) return this.#sized(node, this.#call(call));
    switch (node.op) {
      case "value":
        return { cost: 0, size: literalSize(node.args) };
      case "id":
        return this.#sized(node, {
          cost: 1,
          // Names of types count as upstream counts them: like the root.
          size: this.#rootSize,
          ...this.#scope.get(node.args as string),
        });
      case ".":
      case ".?":
        return this.#sized(node, this.#select(node));
      case "[]":
      case "[?]": {
        const [container, index] = this.#all(node.args as SyntaxNode[]);
        return this.#sized(node, {
          cost: (container?.cost ?? 0) + (index?.cost ?? 0) + 1,
          ...elementOf(container),
        });
      }
      case "list": {
        const elements = this.#all(node.args as SyntaxNode[]);
        return {
          cost: sum(elements) + listBase,
          size: elements.length,
          elementSize: Math.max(0, ...elements.map((each) => each.size)),
        };
      }
      case "map": {
        const entries = this.#all((node.args as [SyntaxNode, SyntaxNode][]).flat());
        return { cost: sum(entries) + mapBase, size: entries.length / 2 };
      }
      case "?:": {
        const [condition, left, right] = this.#all(node.args as SyntaxNode[]);
        return {
          cost: (condition?.cost ?? 0) + Math.max(left?.cost ?? 0, right?.cost ?? 0),
          size: Math.max(left?.size ?? 0, right?.size ?? 0),
        };
      }
      case "&&":
      case "||":
        return { cost: sum(this.#all(node.args as SyntaxNode[])), size: 1 };
      case "!_":
      case "-_": {
        const operand = node.args as SyntaxNode;
        // A negative number is a literal.
        if (operand.op === "value") return { cost: 0, size: 1 };
        return this.#sized(node, { cost: this.of(operand).cost + 1, size: unknownSize });
      }
      default:
        return this.#sized(node, this.#binary(node));
    }
  }

  /** What nothing is known of has the size of its type: one, for what has no length. */
  #sized(node: SyntaxNode, costed: Costed): Costed {
    const size = costed.size === unknownSize && isScalar(node.checkedType?.name) ? 1 : costed.size;
    return { ...costed, size };
  }

  #all(nodes: readonly SyntaxNode[]): Costed[] {
    return nodes.map((each) => this.of(each));
  }

  #select(node: SyntaxNode): Costed {
    const [operand, field] = node.args as [SyntaxNode, string];
    const of = this.of(operand);
    // As upstream has it, an entry that is named like a field is not looked up among the declared ones.
    const declared = of.declared?.fields?.get(field);
    return { cost: of.cost + 1, declared, size: declared?.maxElements ?? unknownSize };
  }

  #has(node: SyntaxNode | undefined): Costed {
    const [operand, field] = (node?.args ?? []) as [SyntaxNode?, string?];
    if (node === undefined || operand === undefined || field === undefined) return { cost: 0, size: 1 };
    const of = this.of(operand);
    if (of.declared?.fields?.has(field) === false) this.undefinedField ??= node;
    return { cost: of.cost, size: 1 };
  }

  #binary(node: SyntaxNode): Costed {
    const [left, right] = this.#all(node.args as SyntaxNode[]);
    if (left === undefined || right === undefined) return { cost: 1, size: unknownSize };
    const operands = left.cost + right.cost;
    const type = (node.args as SyntaxNode[])[0]?.checkedType?.name ?? "";
    switch (node.op) {
      case "==":
      case "!=":
        // What the libraries add compares at once.
        if (/^(net|kubernetes)\./.test(type)) return { cost: operands + 1, size: 1 };
        return { cost: operands + traversal(Math.min(left.size, right.size)), size: 1 };
      case "<":
      case "<=":
      case ">":
      case ">=":
        return {
          cost: operands + (isText(type) ? traversal(Math.min(left.size, right.size)) : 1),
          size: 1,
        };
      case "in": {
        const isMap = ((node.args as SyntaxNode[])[1]?.checkedType?.kind ?? "") === "map";
        return { cost: operands + (isMap ? 1 : right.size), size: 1 };
      }
      case "+": {
        const size = left.size + right.size;
        if (isText(type)) return { cost: operands + traversal(size), size };
        const elementSize = Math.max(left.elementSize ?? unknownSize, right.elementSize ?? unknownSize);
        return type.startsWith("list")
          ? { cost: operands + 1, size, elementSize }
          : { cost: operands + 1, size: unknownSize };
      }
      default:
        return { cost: operands + 1, size: unknownSize };
    }
  }

  #call(call: Call): Costed {
    const { name, target, args } = call;
    if (name === "has" && target === undefined) return this.#has(args[0]);
    if (target?.op === "id" && target.args === "cel" && name === "bind") return this.#bind(args);
    const loop = target === undefined ? undefined : loops[name];
    if (loop !== undefined && target !== undefined && args.length >= 2)
      return this.#loop(loop, name, target, args);
    const on = target === undefined ? undefined : this.of(target);
    const given = this.#all(args);
    const operands = (on?.cost ?? 0) + sum(given);
    const { cost, size } = callCost(name, call, on, given);
    return { cost: operands + cost, size: size ?? unknownSize };
  }

  #bind([name, value, body]: readonly SyntaxNode[]): Costed {
    if (name === undefined || value === undefined || body === undefined)
      return { cost: 0, size: unknownSize };
    const bound = this.of(value);
    const result = this.#with(name.args as string, bound, () => this.of(body));
    return { ...result, cost: listBase + bound.cost + result.cost };
  }

  #loop(loop: Loop, name: string, target: SyntaxNode, args: readonly SyntaxNode[]): Costed {
    const range = this.of(target);
    const [variable, ...bodies] = args;
    const isMap = range.declared?.kind === "map" || target.checkedType?.kind === "map";
    // Nor is the length of a declared map's keys counted.
    const item = isMap ? { size: range.declared === undefined ? unknownSize : 0 } : elementOf(range);
    const body = this.#with((variable?.args as string | undefined) ?? "", item, () => this.#all(bodies));
    const last = body.at(-1);
    const each = loop.each + sum(body);
    const made = name === "map" ? last?.size : name === "filter" ? item.size : undefined;
    return {
      cost: range.cost + loop.once + range.size * each,
      size: made === undefined ? 1 : range.size,
      elementSize: made,
    };
  }

  #with<T>(name: string, value: Omit<Costed, "cost">, body: () => T): T {
    const before = this.#scope.get(name);
    this.#scope.set(name, { ...value });
    const result = body();
    if (before === undefined) this.#scope.delete(name);
    else this.#scope.set(name, before);
    return result;
  }
}

interface Loop {
  /** Making and reading the accumulator. */
  once: number;
  /** Beside the macro's own expressions. */
  each: number;
}

/** The macros that go through a list or map, and what they cost. */
export const loops: Readonly<Record<string, Loop>> = {
  all: { once: 1, each: 3 },
  exists: { once: 1, each: 4 },
  exists_one: { once: 2, each: 2 },
  map: { once: listBase + 1, each: listBase + 2 },
  filter: { once: listBase + 1, each: listBase + 3 },
};

function callCost(
  name: string,
  { target, args }: Call,
  on: Costed | undefined,
  given: readonly Costed[],
): { cost: number; size?: number } {
  const first = given[0]?.size ?? unknownSize;
  const own = on?.size ?? unknownSize;
  switch (name) {
    case "isSorted":
    case "sum":
    case "max":
    case "min":
    case "indexOf":
    case "lastIndexOf": {
      if (on === undefined) return { cost: 1 };
      if (isText(target?.checkedType?.name ?? "")) return { cost: traversal(own) };
      const isOfText = /^list<(string|bytes)>$/.test(target?.checkedType?.name ?? "");
      return { cost: own * (1 + (isOfText ? traversal(elementOf(on).size) : 0)) };
    }
    case "url":
    case "startsWith":
    case "endsWith":
      return { cost: traversal(first) };
    case "lowerAscii":
    case "upperAscii":
    case "substring":
    case "trim":
      return { cost: traversal(own), size: own };
    case "replace":
      return { cost: Math.ceil(own * 2 * perCharacter), size: replacedSize(own, args[0], given) };
    case "split":
      return { cost: Math.ceil(own * 2 * perCharacter), size: own };
    case "join": {
      const size = own * elementOf(on).size + (given.length > 0 ? first * Math.max(0, own - 1) : 0);
      return { cost: traversal(size), size };
    }
    case "find":
    case "findAll":
      return { cost: patternCost(own, first), size: own };
    case "matches":
      return on === undefined
        ? { cost: patternCost(first, given[1]?.size ?? unknownSize) }
        : { cost: patternCost(own, first) };
    case "contains":
      if (target?.op === "id" && target.args === "sets")
        return { cost: first * (given[1]?.size ?? unknownSize) + 1 };
      return { cost: traversal(own) * traversal(first) };
    case "intersects":
      return { cost: first * (given[1]?.size ?? unknownSize) + 1 };
    case "equivalent":
      return { cost: first * (given[1]?.size ?? unknownSize) * 2 + 1 };
    case "format":
      return { cost: traversal(own) };
    case "containsIP":
    case "containsCIDR":
      return {
        cost:
          Math.ceil(32 * perCharacter) +
          (name === "containsCIDR" ? Math.ceil(16 * perCharacter) + 1 : 0) +
          (isText(args[0]?.checkedType?.name ?? "") ? traversal(first) : 0),
      };
    case "bytes":
      return { cost: traversal(first), size: first * 4 };
    case "string":
      return isText(args[0]?.checkedType?.name ?? "") ? { cost: 1, size: first } : { cost: 1 };
    case "dyn":
      return { cost: 1, size: first };
    default:
      return { cost: 1 };
  }
}

function replacedSize(own: number, pattern: SyntaxNode | undefined, given: readonly Costed[]): number {
  const replacement = given[1]?.size ?? unknownSize;
  // Only a literal is known not to be empty.
  const shortest = pattern?.op === "value" ? (given[0]?.size ?? 0) : 0;
  if (shortest === 0) return (own + 1) * replacement + own;
  return replacement <= shortest ? own : Math.ceil(own / shortest) * replacement;
}

function elementOf(container: Costed | undefined): Omit<Costed, "cost"> {
  const declared = container?.declared?.element;
  return { declared, size: declared?.maxElements ?? container?.elementSize ?? unknownSize };
}

function patternCost(text: number, pattern: number): number {
  return traversal(text + 1) * Math.ceil(pattern * perPatternCharacter);
}

function traversal(size: number): number {
  return Math.ceil(size * perCharacter);
}

function literalSize(value: unknown): number {
  if (typeof value === "string") return Array.from(value).length;
  return value instanceof Uint8Array ? value.length : 1;
}

function isText(type: string): boolean {
  return type === "string" || type === "bytes";
}

const scalars =
  /^(optional<)?(bool|int|uint|double|google\.protobuf\.Timestamp|google\.protobuf\.Duration)>?$/;

function isScalar(type: string | undefined): boolean {
  return type !== undefined && scalars.test(type);
}

function sum(nodes: readonly Costed[]): number {
  return nodes.reduce((total, each) => total + each.cost, 0);
}
