/**
 * The JSONPath of printer columns, selectable fields and scale paths (k8s.io/client-go, util/jsonpath):
 * members, escaped and quoted names, indexes, wildcards and one-comparison filters.
 */
import { isObject, own } from "#api/patch/json.ts";

type Step =
  | { type: "member"; name: string }
  | { type: "index"; index: number }
  | { type: "all" }
  | { type: "filter"; path: readonly Step[]; operator: string; value: unknown };

export type JsonPath = readonly Step[];

/** Undefined where the text is no path that is understood. */
export function parseJsonPath(text: string): JsonPath | undefined {
  const steps: Step[] = [];
  let rest = text;
  while (rest !== "") {
    const member = /^\.((?:[^.[\]\\]|\\.)+)/.exec(rest);
    const quoted = /^\[(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\]/.exec(rest);
    const index = /^\[(-?\d+)\]/.exec(rest);
    const all = /^(?:\[\*\]|\.\*)/.exec(rest);
    const filter =
      /^\[\?\(\s*@((?:\.(?:[^.[\]\\\s=!<>]|\\.)+)+)\s*(==|!=|<=|>=|<|>)\s*((?:"[^"]*"|'[^']*'|[^\s)]+))\s*\)\]/.exec(
        rest,
      );
    const match = all ?? member ?? quoted ?? index ?? filter;
    if (match === null) return undefined;
    if (match === all) steps.push({ type: "all" });
    else if (match === member) steps.push({ type: "member", name: unescape(member[1] ?? "") });
    else if (match === quoted) steps.push({ type: "member", name: unescape(quoted[1] ?? quoted[2] ?? "") });
    else if (match === index) steps.push({ type: "index", index: Number(index[1]) });
    else if (filter !== null) {
      const path = parseJsonPath(filter[1] ?? "");
      if (path === undefined) return undefined;
      steps.push({ type: "filter", path, operator: filter[2] ?? "==", value: literal(filter[3] ?? "") });
    }
    rest = rest.slice(match[0].length);
  }
  return steps.length === 0 ? undefined : steps;
}

/** All values at the path. */
export function evaluateJsonPath(path: JsonPath, value: unknown): unknown[] {
  let current: unknown[] = [value];
  for (const step of path) current = current.flatMap((each) => follow(step, each));
  return current;
}

function follow(step: Step, value: unknown): unknown[] {
  switch (step.type) {
    case "member": {
      const member = isObject(value) ? own(value, step.name) : undefined;
      return member === undefined ? [] : [member];
    }
    case "index": {
      const element: unknown = Array.isArray(value) ? value.at(step.index) : undefined;
      return element === undefined ? [] : [element];
    }
    case "all":
      return Array.isArray(value) ? (value as unknown[]) : isObject(value) ? Object.values(value) : [];
    case "filter":
      return Array.isArray(value)
        ? value.filter((each) =>
            evaluateJsonPath(step.path, each).some((found) => compare(found, step.operator, step.value)),
          )
        : [];
  }
}

function compare(left: unknown, operator: string, right: unknown): boolean {
  switch (operator) {
    case "==":
      return left === right;
    case "!=":
      return left !== right;
    default: {
      if (typeof left !== typeof right || (typeof left !== "number" && typeof left !== "string"))
        return false;
      const order = left < (right as typeof left) ? -1 : left === right ? 0 : 1;
      return operator === "<"
        ? order < 0
        : operator === "<="
          ? order <= 0
          : operator === ">"
            ? order > 0
            : order >= 0;
    }
  }
}

function literal(text: string): unknown {
  if (/^["']/.test(text)) return text.slice(1, -1);
  if (text === "true" || text === "false") return text === "true";
  const number = Number(text);
  return Number.isNaN(number) ? text : number;
}

function unescape(name: string): string {
  return name.replaceAll(/\\(.)/g, "$1");
}
