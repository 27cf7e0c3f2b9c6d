/**
 * Quantities ("100m", "1.5Gi", "2e3"): exact values in billionths as bigint, with the format that
 * upstream keeps for output (k8s.io/apimachinery, api/resource). Finer values round up, away from zero.
 */

export type QuantityFormat = "DecimalSI" | "BinarySI" | "DecimalExponent";

export interface Quantity {
  /** Value times 10^9. */
  nano: bigint;
  format: QuantityFormat;
}

export const quantityPatternError =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

export const zeroQuantity: Quantity = { nano: 0n, format: "DecimalSI" };

const billion = 1_000_000_000n;
const maxNano = (2n ** 63n - 1n) * billion;
const decimalSuffixes: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  "": 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const suffixOfExponent = new Map(Object.entries(decimalSuffixes).map(([suffix, power]) => [power, suffix]));
const binarySuffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/** Returns the quantity, or the text of upstream's error. Never throws. */
export function tryParseQuantity(text: string | number): Quantity | string {
  const match = /^([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)$/.exec(String(text));
  if (match === null) return quantityPatternError;
  const [, sign = "", whole = "", fraction = "", suffix = ""] = match;
  if (whole === "" && fraction === "") return quantityPatternError;
  const digits = BigInt(whole + fraction);
  const binary = suffix === "" ? -1 : binarySuffixes.indexOf(suffix);
  let format: QuantityFormat;
  let nano: bigint;
  if (binary > 0) {
    format = "BinarySI";
    nano = divideUp(digits * 1024n ** BigInt(binary) * billion, 10n ** BigInt(fraction.length));
  } else {
    let power: number;
    const exponent = /^[eE]([-+]?[0-9]+)$/.exec(suffix);
    if (Object.hasOwn(decimalSuffixes, suffix)) {
      format = "DecimalSI";
      power = decimalSuffixes[suffix] ?? 0;
    } else if (exponent !== null) {
      format = "DecimalExponent";
      power = Number(exponent[1]);
    } else return "unable to parse quantity's suffix";
    const shift = power + 9 - fraction.length;
    if (shift > 400) nano = digits === 0n ? 0n : maxNano;
    else if (shift < -4000) nano = digits === 0n ? 0n : 1n;
    else nano = shift >= 0 ? digits * 10n ** BigInt(shift) : divideUp(digits, 10n ** BigInt(-shift));
  }
  if (nano > maxNano) nano = maxNano;
  return { nano: sign === "-" ? -nano : nano, format };
}

/** Throws RangeError with upstream's text for an invalid quantity. */
export function parseQuantity(text: string | number | Quantity): Quantity {
  if (typeof text === "object") return text;
  const result = tryParseQuantity(text);
  if (typeof result === "string") throw new RangeError(result);
  return result;
}

/** The canonical text: no fraction, the largest suffix that keeps the value exact. */
export function formatQuantity(quantity: Quantity): string {
  const { nano } = quantity;
  if (nano === 0n) return "0";
  const sign = nano < 0n ? "-" : "";
  const size = nano < 0n ? -nano : nano;
  if (quantity.format === "BinarySI" && size >= 1024n * billion) {
    let value = divideUp(size, billion);
    let steps = 0;
    while (value % 1024n === 0n && steps < binarySuffixes.length - 1) {
      value /= 1024n;
      steps += 1;
    }
    return `${sign}${value}${binarySuffixes[steps]}`;
  }
  let value = size;
  let exponent = -9;
  while (value % 1000n === 0n && exponent < 18) {
    value /= 1000n;
    exponent += 3;
  }
  if (quantity.format === "DecimalExponent") return `${sign}${value}${exponent === 0 ? "" : `e${exponent}`}`;
  return `${sign}${value}${suffixOfExponent.get(exponent)}`;
}

/** Canonical form of a quantity's text; the text must be valid. */
export function canonicalizeQuantity(text: string | number): string {
  return formatQuantity(parseQuantity(text));
}

/** Negative, zero or positive, as a is less than, equal to or greater than b. */
export function compareQuantities(a: string | number | Quantity, b: string | number | Quantity): number {
  const left = parseQuantity(a).nano;
  const right = parseQuantity(b).nano;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Keeps the format of the first that is not zero. */
export function addQuantities(a: Quantity, b: Quantity): Quantity {
  return { nano: a.nano + b.nano, format: a.nano === 0n ? b.format : a.format };
}

export function subtractQuantities(a: Quantity, b: Quantity): Quantity {
  return { nano: a.nano - b.nano, format: a.nano === 0n ? b.format : a.format };
}

/** The value as a whole number, rounded up (upstream's Value()). */
export function quantityValue(quantity: string | number | Quantity): number {
  const { nano } = parseQuantity(quantity);
  return Number(nano < 0n ? -(-nano / billion) : divideUp(nano, billion));
}

/** The value in thousandths, rounded up (upstream's MilliValue()): CPU in millicores. */
export function quantityMilliValue(quantity: string | number | Quantity): number {
  const { nano } = parseQuantity(quantity);
  return Number(nano < 0n ? -(-nano / 1_000_000n) : divideUp(nano, 1_000_000n));
}

/** True for a value without a fraction. */
export function isWholeQuantity(quantity: Quantity): boolean {
  return quantity.nano % billion === 0n;
}

function divideUp(value: bigint, divisor: bigint): bigint {
  return (value + divisor - 1n) / divisor;
}
