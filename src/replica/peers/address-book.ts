/**
 * Where peers are now, while the cluster's records still say where they were: told by their own greetings, or by
 * whoever moved the machines. An entry counts only as long as the record is the one that it corrects, so a
 * record that is brought up to date wins. A member's identity is its id and certificate; addresses are only where to find it.
 */

import type { NodeId } from "#raft/types.ts";
import type { Peer } from "../ports.ts";

export class AddressBook {
  readonly #learned = new Map<NodeId, { insteadOf: string; address: string }>();
  /** By name; for the address that its record has when the peer is first looked up. */
  readonly #told: Map<string, string>;

  /** `told`: addresses by member name. */
  constructor(told: ReadonlyMap<string, string> = new Map()) {
    this.#told = new Map(told);
  }

  current(peer: Peer): string {
    const told = peer.name === undefined ? undefined : this.#told.get(peer.name);
    if (told !== undefined) {
      this.#told.delete(peer.name as string);
      this.learn(peer, told);
    }
    const learned = this.#learned.get(peer.id);
    if (learned === undefined) return peer.address;
    if (learned.insteadOf === peer.address) return learned.address;
    this.#learned.delete(peer.id);
    return peer.address;
  }

  /** The peer is at this address, whatever its present record says. */
  learn(peer: Peer, address: string): void {
    this.#learned.set(peer.id, { insteadOf: peer.address, address });
  }
}
