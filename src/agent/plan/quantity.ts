/** Kubernetes quantities ("100m", "1Gi", "2e3") as numbers, for limits and capacities. */

const factors: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** The quantity's value; undefined when there is none or it is malformed. */
export function quantityValue(quantity: string | number | undefined): number | undefined {
  if (quantity === undefined) return undefined;
  if (typeof quantity === "number") return quantity;
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([A-Za-z]{0,2}))$/.exec(quantity);
  if (!match) return undefined;
  const factor = match[2] !== undefined ? Number(`1${match[2]}`) : factors[match[3] ?? ""];
  return factor === undefined ? undefined : Number(match[1]) * factor;
}

/** Thousandths of a processor, rounded up. */
export function milliCpu(quantity: string | number | undefined): number | undefined {
  const value = quantityValue(quantity);
  return value === undefined ? undefined : Math.ceil(Number((value * 1000).toFixed(6)));
}

/** Bytes, rounded up. */
export function quantityBytes(quantity: string | number | undefined): number | undefined {
  const value = quantityValue(quantity);
  return value === undefined ? undefined : Math.ceil(value);
}
