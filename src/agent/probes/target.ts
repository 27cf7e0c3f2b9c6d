/** Ports of probes and hooks: a number, or the name of one of the container's ports. */
import type { AnyContainer } from "../types.ts";

/** Throws when no port of the container has the name. */
export function portNumber(port: number | string, container: AnyContainer): number {
  if (typeof port === "number") return port;
  const named = container.ports?.find((each) => each.name === port);
  if (named) return named.containerPort;
  const parsed = Number(port);
  if (Number.isInteger(parsed) && parsed > 0) return parsed;
  throw new Error(`couldn't find port: ${JSON.stringify(port)}`);
}
