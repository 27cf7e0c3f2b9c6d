/** Optional values, which the library makes but does not export: they are had by asking it. */
import { Environment } from "@marcbachmann/cel-js";

const environment = new Environment({ enableOptionalTypes: true }).registerVariable("value", "dyn");
const some = environment.parse("optional.of(value)");
const nothing: unknown = environment.evaluate("optional.none()");

/** Undefined: the optional value without one. */
export function optionalOf(value: unknown): unknown {
  return value === undefined ? nothing : (some({ value }) as unknown);
}
