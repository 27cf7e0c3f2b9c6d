/** Lists: sums, extremes, order, positions, and lists as sets. */
import type { Environment } from "@marcbachmann/cel-js";

type Ordered = bigint | number | string | boolean | Date;

export function registerLists(environment: Environment): void {
  environment
    .registerFunction("list<dyn>.isSorted(): bool", (list: Ordered[]) =>
      list.every((each, index) => index === 0 || (list[index - 1] as Ordered) <= each),
    )
    .registerFunction("list<dyn>.sum(): dyn", (list: (bigint | number)[]) => {
      if (list.length === 0) return 0n;
      return list.reduce((sum, each) => (sum as number) + (each as number));
    })
    .registerFunction("list<dyn>.min(): dyn", (list: Ordered[]) => extreme(list, "min", (a, b) => a < b))
    .registerFunction("list<dyn>.max(): dyn", (list: Ordered[]) => extreme(list, "max", (a, b) => a > b))
    .registerFunction("list<dyn>.indexOf(dyn): int", (list: unknown[], value: unknown) =>
      BigInt(list.findIndex((each) => sameValue(each, value))),
    )
    .registerFunction("list<dyn>.lastIndexOf(dyn): int", (list: unknown[], value: unknown) =>
      BigInt(list.findLastIndex((each) => sameValue(each, value))),
    );
  const sets = class SetsNamespace {};
  environment
    .registerType("SetsNamespace", { ctor: sets, fields: {} })
    .registerConstant("sets", "SetsNamespace", new sets())
    .registerFunction(
      "SetsNamespace.contains(list, list): bool",
      (_sets: unknown, list: unknown[], part: unknown[]) => includesAll(list, part),
    )
    .registerFunction(
      "SetsNamespace.equivalent(list, list): bool",
      (_sets: unknown, left: unknown[], right: unknown[]) =>
        includesAll(left, right) && includesAll(right, left),
    )
    .registerFunction(
      "SetsNamespace.intersects(list, list): bool",
      (_sets: unknown, left: unknown[], right: unknown[]) =>
        left.some((each) => right.some((other) => sameValue(each, other))),
    );
}

function extreme(list: Ordered[], name: string, isBetter: (a: Ordered, b: Ordered) => boolean): Ordered {
  const [first] = list;
  if (first === undefined) throw new Error(`${name} called on empty list`);
  return list.reduce((best, each) => (isBetter(each, best) ? each : best), first);
}

function includesAll(list: unknown[], part: unknown[]): boolean {
  return part.every((each) => list.some((other) => sameValue(each, other)));
}

/** CEL's equality: numbers by value whatever their type, lists and maps member by member. */
export function sameValue(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  const isNumber = (value: unknown) => typeof value === "number" || typeof value === "bigint";
  // oxlint-disable-next-line eqeqeq -- 1n == 1 is what CEL asks for
  if (isNumber(left) && isNumber(right)) return left == right;
  if (left instanceof Date && right instanceof Date) return left.getTime() === right.getTime();
  if (Array.isArray(left) && Array.isArray(right))
    return left.length === right.length && left.every((each, index) => sameValue(each, right[index]));
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) return false;
  const keys = Object.keys(left);
  return (
    keys.length === Object.keys(right).length &&
    keys.every((key) =>
      sameValue((left as Record<string, unknown>)[key], (right as Record<string, unknown>)[key]),
    )
  );
}
