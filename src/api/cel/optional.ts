/** Optional values, which the library makes but does not export: they are had by asking it. */
import { Environment } from "@marcbachmann/cel-js";
import { sameValue } from "./library-lists.ts";

interface Optional {
  hasValue(): boolean;
  value(): unknown;
}

const none = new Environment({ enableOptionalTypes: true }).evaluate("optional.none()") as Optional & {
  constructor: { of(value: unknown): Optional };
};

/** Undefined: the optional value without one. */
export function optionalOf(value: unknown): unknown {
  return value === undefined ? none : none.constructor.of(value);
}

/** Optional values are the same when both have none or the same one. */
export function registerOptionals(to: Environment): void {
  to.registerOperator("optional<T> == optional<T>", (left: Optional, right: Optional) =>
    left.hasValue() && right.hasValue()
      ? sameValue(left.value(), right.value())
      : left.hasValue() === right.hasValue(),
  );
}
