/** Whether a node has another address than when it was made. Pure. */
import type { NodeIdentity } from "./identity.ts";

/**
 * The node's identity with its present address, or undefined when nothing has changed. An address that its owner gave is
 * never changed by itself: it may be one that the machine doesn't know of (behind NAT).
 */
export function followAddress(
  identity: NodeIdentity,
  machine: { addresses: readonly string[]; default(): string },
): NodeIdentity | undefined {
  if (identity.addressGiven === true || machine.addresses.includes(identity.address)) return undefined;
  const address = machine.default();
  // A machine whose network is not up yet has none.
  return address.startsWith("127.") || address === identity.address ? undefined : { ...identity, address };
}
