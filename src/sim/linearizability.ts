/**
 * Is there an order of the operations of a history, in which each takes effect at one moment between its
 * call and its return, that explains all outputs? The algorithm of Wing and Gong with Lowe's refinement
 * (remember which sets of operations have led to which state; "Testing for linearizability", 2017), and a
 * history split into independent parts (keys) first, as porcupine does.
 */

export interface Operation<Input, Output> {
  client: number;
  input: Input;
  /** Undefined: never answered, or answered with "unknown". It may have taken effect at any time, or never. */
  output: Output | undefined;
  /** Any clock that orders events: calls and returns of the whole history. */
  callAt: number;
  /** Infinity if it never returned. */
  returnAt: number;
}

/** How the real thing behaves when operations come one at a time. */
export interface Model<State, Input, Output> {
  initial: State;
  /** The next state, or undefined if the output is not possible. An output of undefined fits anything. */
  step(state: State, input: Input, output: Output | undefined): State | undefined;
  /** Equal keys mean equal states. */
  key(state: State): string;
  /** Operations with different parts never affect each other. */
  part?(input: Input): string;
}

/** The search was given up: many operations without an answer leave more orders than can be tried. */
export class UndecidedError extends Error {
  override name = "UndecidedError";
}

/**
 * A part that is not linearizable; undefined if the whole history is. The parts are searched in turns, since
 * one may take very long where another shows the fault at once. Throws UndecidedError after `limitSteps` steps of
 * all searches together.
 */
export function findNonLinearizablePart<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
  limitSteps = Infinity,
): string | undefined {
  let turns = 0;
  const parts = Map.groupBy(history, ({ input }) => model.part?.(input) ?? "");
  const searches = new Map([...parts].map(([part, operations]) => [part, search(model, operations)]));
  while (searches.size > 0) {
    for (const [part, steps] of searches) {
      if (++turns * stepsPerTurn > limitSteps) throw new UndecidedError("too many orders to try");
      const { done, value } = steps.next();
      if (done !== true) continue;
      if (!value) return part;
      searches.delete(part);
    }
  }
  return undefined;
}

/** Steps of the search between two yields. */
const stepsPerTurn = 10_000;

/** An event of the history: a doubly linked list, from which operations are lifted and put back. */
interface Node<Input, Output> {
  operation: Operation<Input, Output> | undefined;
  id: number;
  isCall: boolean;
  /** Of a call: its return. */
  match: Node<Input, Output> | undefined;
  previous: Node<Input, Output> | undefined;
  next: Node<Input, Output> | undefined;
}

/** Returns whether there is such an order. */
function* search<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
): Generator<void, boolean, void> {
  const head = linkEvents(operations);
  const linearized = new BitSet(operations.length);
  const seen = new Map<string, Set<string>>();
  const stack: { node: Node<Input, Output>; state: State }[] = [];
  let { initial: state } = model;
  let node = head.next;
  // Operations that never returned may be left over: nothing has to explain them.
  let mustLinearize = operations.filter(({ returnAt }) => returnAt !== Infinity).length;
  for (let steps = 1; mustLinearize > 0; steps++) {
    if (steps % stepsPerTurn === 0) yield;
    if (node?.isCall === true) {
      const { operation, id } = node;
      const next = operation === undefined ? undefined : model.step(state, operation.input, operation.output);
      if (operation !== undefined && next !== undefined) {
        linearized.set(id);
        if (remember(seen, linearized.key(), model.key(next))) {
          stack.push({ node, state });
          state = next;
          if (operation.returnAt !== Infinity) mustLinearize--;
          lift(node);
          node = head.next;
          continue;
        }
        linearized.clear(id);
      }
      node = node.next;
      continue;
    }
    // An operation has returned before anything explained it, or all choices are used up: take one back.
    const last = stack.pop();
    if (last === undefined) return false;
    ({ state } = last);
    linearized.clear(last.node.id);
    if (last.node.operation?.returnAt !== Infinity) mustLinearize++;
    unlift(last.node);
    node = last.node.next;
  }
  return true;
}

function linkEvents<Input, Output>(operations: readonly Operation<Input, Output>[]): Node<Input, Output> {
  const events: { at: number; node: Node<Input, Output> }[] = [];
  for (const [id, operation] of operations.entries()) {
    const rest = { previous: undefined, next: undefined };
    const end: Node<Input, Output> = { operation, id, isCall: false, match: undefined, ...rest };
    const call: Node<Input, Output> = { operation, id, isCall: true, match: end, ...rest };
    events.push({ at: operation.callAt, node: call }, { at: operation.returnAt, node: end });
  }
  // At the same time calls go first, which is the more generous order.
  events.sort((a, b) => (a.at === b.at ? Number(b.node.isCall) - Number(a.node.isCall) : a.at - b.at));
  const head: Node<Input, Output> = {
    operation: undefined,
    id: -1,
    isCall: false,
    match: undefined,
    previous: undefined,
    next: undefined,
  };
  let last = head;
  for (const { node } of events) {
    last.next = node;
    node.previous = last;
    last = node;
  }
  return head;
}

function lift<Input, Output>(call: Node<Input, Output>): void {
  unlink(call);
  if (call.match !== undefined) unlink(call.match);
}

function unlift<Input, Output>(call: Node<Input, Output>): void {
  if (call.match !== undefined) relink(call.match);
  relink(call);
}

function unlink<Input, Output>(node: Node<Input, Output>): void {
  if (node.previous !== undefined) node.previous.next = node.next;
  if (node.next !== undefined) node.next.previous = node.previous;
}

function relink<Input, Output>(node: Node<Input, Output>): void {
  if (node.previous !== undefined) node.previous.next = node;
  if (node.next !== undefined) node.next.previous = node;
}

/** False if it was known. */
function remember(seen: Map<string, Set<string>>, operations: string, state: string): boolean {
  const states = seen.get(operations);
  if (states === undefined) seen.set(operations, new Set([state]));
  else if (states.has(state)) return false;
  else states.add(state);
  return true;
}

/** A set of small numbers that knows itself as a string without being read in full: long common prefixes are cut off. */
class BitSet {
  readonly #words: Uint16Array;
  /** Words below are full. */
  #full = 0;

  constructor(size: number) {
    this.#words = new Uint16Array(Math.ceil(size / 16));
  }

  set(position: number): void {
    this.#words[position >> 4] = (this.#words[position >> 4] ?? 0) | (1 << (position & 15));
    while (this.#words[this.#full] === 0xffff) this.#full++;
  }

  clear(position: number): void {
    this.#words[position >> 4] = (this.#words[position >> 4] ?? 0) & ~(1 << (position & 15));
    this.#full = Math.min(this.#full, position >> 4);
  }

  key(): string {
    let end = this.#words.length;
    while (end > this.#full && this.#words[end - 1] === 0) end--;
    return `${this.#full}:${String.fromCharCode(...this.#words.subarray(this.#full, end))}`;
  }
}
