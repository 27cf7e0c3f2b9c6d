/**
 * What an evaluation costs, counted while it runs, so that no rule holds up the server (cel-go,
 * interpreter/runtimecost.go). The units are those of the estimate.
 */
import { loops } from "./cost-estimate.ts";
import { callOf, childrenOf } from "./syntax-tree.ts";
import type { SyntaxNode } from "./syntax-tree.ts";

export class CostMeter {
  readonly #limit: number;
  #spent = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get spent(): number {
    return this.#spent;
  }

  get isExceeded(): boolean {
    return this.#spent > this.#limit;
  }

  /** Throws once the limit is passed, and at every step from then on: "||" and "&&" forgive an error. */
  spend(cost: number): void {
    this.#spent += cost;
    if (this.isExceeded) throw new CostExceeded();
  }
}

export class CostExceeded extends Error {
  override name = "CostExceeded";

  constructor() {
    super("operation cancelled: actual cost limit exceeded");
  }
}

/** Evaluations do not wait for anything, so one at a time is under way. */
let current: CostMeter | undefined;

/** Runs an evaluation of a metered expression. */
export function metered<T>(meter: CostMeter, evaluate: () => T): T {
  const outer = current;
  current = meter;
  try {
    const result = evaluate();
    if (meter.isExceeded) throw new CostExceeded();
    return result;
  } finally {
    current = outer;
  }
}

type Evaluate = (this: SyntaxNode, evaluator: unknown, node: SyntaxNode, context: unknown) => unknown;

interface Step {
  /** The value of the last evaluation. */
  value: unknown;
}

/** Makes an expression's tree count. Once for each tree; without a meter it evaluates as before. */
export function meter(root: SyntaxNode): void {
  instrument(root, 0);
}

/** `surcharge` is what a macro adds to each of its steps. */
function instrument(node: SyntaxNode, surcharge: number): Step {
  const step: Step = { value: node.op === "value" ? node.args : undefined };
  const call = callOf(node);
  const loop = call?.target === undefined ? undefined : loops[call.name];
  const steps = childrenOf(node).map((child, index) =>
    instrument(child, loop === undefined || index < 2 ? 0 : loop.each),
  );
  const cost = costOf(node, steps);
  const holder = node as unknown as { evaluate: Evaluate };
  const initial = holder.evaluate;
  let inner = initial;
  // The library puts the final function in place at the first evaluation.
  Object.defineProperty(node, "evaluate", {
    get: () =>
      function evaluate(this: SyntaxNode, evaluator: unknown, _node: SyntaxNode, context: unknown) {
        const value = inner.call(node, evaluator, node, context);
        if (inner === initial) return value;
        step.value = value;
        current?.spend(cost() + surcharge);
        return value;
      },
    set: (replacement: Evaluate) => {
      inner = replacement;
    },
  });
  return step;
}

/** What the node itself costs, after its operands are known. */
function costOf(node: SyntaxNode, steps: readonly Step[]): () => number {
  const size = (index: number) => sizeOf(steps[index]?.value);
  switch (node.op) {
    case "value":
    case "&&":
    case "||":
    case "?:":
      return () => 0;
    case "list":
      return () => 10;
    case "map":
      return () => 30;
    case "==":
    case "!=":
    case "<":
    case "<=":
    case ">":
    case ">=":
      return () => Math.ceil(Math.min(size(0), size(1)) / 10);
    case "in":
      return () => (Array.isArray(steps[1]?.value) ? size(1) : 1);
    case "+":
      return () => (typeof steps[0]?.value === "string" ? Math.ceil((size(0) + size(1)) / 10) : 1);
    default:
      break;
  }
  const cost = callCosts.get(callOf(node)?.name ?? "");
  return cost === undefined ? () => 1 : () => cost(size(0), size(1));
}

const perText = (own: number) => Math.ceil(own / 10);
const perPattern = (own: number, pattern: number) => Math.ceil((own + 1) / 10) * Math.ceil(pattern / 4);
const perElement = (own: number) => own;

/** By the sizes of the object of a call (or its first operand) and of the next operand. */
const callCosts: ReadonlyMap<string, (own: number, next: number) => number> = new Map(
  Object.entries({
    contains: (own: number, part: number) => Math.ceil(own / 10) * Math.ceil(part / 10),
    startsWith: (_own: number, part: number) => perText(part),
    endsWith: (_own: number, part: number) => perText(part),
    matches: perPattern,
    find: perPattern,
    findAll: perPattern,
    lowerAscii: perText,
    upperAscii: perText,
    substring: perText,
    trim: perText,
    format: perText,
    url: perText,
    quantity: perText,
    ip: perText,
    cidr: perText,
    replace: (own: number) => Math.ceil(own / 5),
    split: (own: number) => Math.ceil(own / 5),
    isSorted: perElement,
    sum: perElement,
    min: perElement,
    max: perElement,
    indexOf: perElement,
    lastIndexOf: perElement,
    join: perElement,
  }),
);

function sizeOf(value: unknown): number {
  if (typeof value === "string" || Array.isArray(value) || value instanceof Uint8Array) return value.length;
  if (typeof value === "object" && value?.constructor === Object) return Object.keys(value).length;
  return 1;
}
