/** Quantities: quantity("1.5Gi") and its arithmetic and comparisons. */
import type { Environment } from "@marcbachmann/cel-js";
import {
  addQuantities,
  compareQuantities,
  isWholeQuantity,
  parseQuantity,
  quantityValue,
  subtractQuantities,
  tryParseQuantity,
} from "#kinds/quantity.ts";
import type { Quantity } from "#kinds/quantity.ts";

class CelQuantity {
  readonly quantity: Quantity;

  constructor(quantity: Quantity) {
    this.quantity = quantity;
  }
}

const nano = 1_000_000_000n;

export function registerQuantities(environment: Environment): void {
  const order = (left: CelQuantity, right: CelQuantity) => compareQuantities(left.quantity, right.quantity);
  const whole = (value: bigint): Quantity => ({ nano: value * nano, format: "DecimalSI" });
  environment
    .registerType("kubernetes.Quantity", { ctor: CelQuantity, fields: {} })
    .registerOperator(
      "kubernetes.Quantity == kubernetes.Quantity",
      (left: CelQuantity, right: CelQuantity) => order(left, right) === 0,
    )
    .registerFunction("quantity(string): kubernetes.Quantity", (text: string) => parse(text))
    .registerFunction(
      "isQuantity(string): bool",
      (text: string) => typeof tryParseQuantity(text) !== "string",
    )
    .registerFunction("kubernetes.Quantity.isInteger(): bool", (value: CelQuantity) =>
      isWholeQuantity(value.quantity),
    )
    .registerFunction("kubernetes.Quantity.asInteger(): int", (value: CelQuantity) => {
      if (!isWholeQuantity(value.quantity)) throw new Error("cannot convert value to integer");
      return value.quantity.nano / nano;
    })
    .registerFunction("kubernetes.Quantity.asApproximateFloat(): double", (value: CelQuantity) =>
      isWholeQuantity(value.quantity)
        ? quantityValue(value.quantity)
        : Number(value.quantity.nano) / Number(nano),
    )
    .registerFunction("kubernetes.Quantity.sign(): int", (value: CelQuantity) =>
      value.quantity.nano < 0n ? -1n : value.quantity.nano > 0n ? 1n : 0n,
    )
    .registerFunction(
      "kubernetes.Quantity.compareTo(kubernetes.Quantity): int",
      (left: CelQuantity, right: CelQuantity) => BigInt(Math.sign(order(left, right))),
    )
    .registerFunction(
      "kubernetes.Quantity.isLessThan(kubernetes.Quantity): bool",
      (left: CelQuantity, right: CelQuantity) => order(left, right) < 0,
    )
    .registerFunction(
      "kubernetes.Quantity.isGreaterThan(kubernetes.Quantity): bool",
      (left: CelQuantity, right: CelQuantity) => order(left, right) > 0,
    )
    .registerFunction(
      "kubernetes.Quantity.add(kubernetes.Quantity): kubernetes.Quantity",
      (left: CelQuantity, right: CelQuantity) =>
        new CelQuantity(addQuantities(left.quantity, right.quantity)),
    )
    .registerFunction(
      "kubernetes.Quantity.add(int): kubernetes.Quantity",
      (left: CelQuantity, right: bigint) => new CelQuantity(addQuantities(left.quantity, whole(right))),
    )
    .registerFunction(
      "kubernetes.Quantity.sub(kubernetes.Quantity): kubernetes.Quantity",
      (left: CelQuantity, right: CelQuantity) =>
        new CelQuantity(subtractQuantities(left.quantity, right.quantity)),
    )
    .registerFunction(
      "kubernetes.Quantity.sub(int): kubernetes.Quantity",
      (left: CelQuantity, right: bigint) => new CelQuantity(subtractQuantities(left.quantity, whole(right))),
    );
}

function parse(text: string): CelQuantity {
  if (typeof tryParseQuantity(text) === "string")
    throw new Error(
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    );
  return new CelQuantity(parseQuantity(text));
}
