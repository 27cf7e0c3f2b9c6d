/**
 * Connections between simulated replicas: frames arrive in order per peer and channel, late on bad links
 * (lost packets are sent again), and are lost when a cut breaks the connection, which is noticed after a
 * while.
 */

import type { NodeId } from "#raft/types.ts";
import type { Peer, PeerTransport, PeerTransportEvents } from "#replica/ports.ts";
import type { SimulatedLinks } from "./simulated-links.ts";
import type { SimulatedTime } from "./simulated-time.ts";

type Channel = "raft" | "bulk";

const retransmitMs = 200;
const noticeMs = 1000;

/** All machines' ends. A machine that is down has none. */
export class SimulatedNetwork {
  readonly #time: SimulatedTime;
  readonly #links: SimulatedLinks;
  readonly #ends = new Map<
    NodeId,
    (from: NodeId, frame: Uint8Array, reply: (frame: Uint8Array) => void) => void
  >();
  /** When the newest frame on each connection arrives: none overtakes. */
  readonly #lastArrival = new Map<string, number>();

  constructor(time: SimulatedTime, links: SimulatedLinks) {
    this.#time = time;
    this.#links = links;
  }

  attach(
    id: NodeId,
    receive: (from: NodeId, frame: Uint8Array, reply: (frame: Uint8Array) => void) => void,
  ): void {
    this.#ends.set(id, receive);
  }

  detach(id: NodeId): void {
    this.#ends.delete(id);
  }

  isReachable(from: NodeId, to: NodeId): boolean {
    return this.#ends.has(to) && this.#links.connects(from, to) && this.#links.connects(to, from);
  }

  carry(from: NodeId, to: NodeId, channel: Channel | "reply", frame: Uint8Array): void {
    const end = this.#ends.get(to);
    if (!this.#links.connects(from, to) || end === undefined) return;
    const delays = this.#links.delaysMs(from, to);
    const delayMs = delays[0] ?? retransmitMs + this.#links.delayMs();
    const connection = `${from}>${to}/${channel}`;
    const atMs = Math.max(this.#lastArrival.get(connection) ?? 0, this.#time.nowMs + delayMs);
    this.#lastArrival.set(connection, atMs);
    this.#time.after(atMs - this.#time.nowMs, () => {
      // The receiver of a frame that was sent before it restarted is gone.
      if (!this.#links.connects(from, to) || this.#ends.get(to) !== end) return;
      end(from, frame, (answer) => this.carry(to, from, "reply", answer));
    });
  }
}

export class SimulatedTransport implements PeerTransport {
  readonly #id: NodeId;
  readonly #network: SimulatedNetwork;
  readonly #later: (delayMs: number, action: () => void) => void;
  #peers = new Set<NodeId>();
  #events: PeerTransportEvents | undefined;
  readonly #noticing = new Set<NodeId>();

  constructor(id: NodeId, network: SimulatedNetwork, later: (delayMs: number, action: () => void) => void) {
    this.#id = id;
    this.#network = network;
    this.#later = later;
  }

  start(events: PeerTransportEvents): void {
    this.#events = events;
    this.#network.attach(this.#id, (from, frame, reply) => {
      this.#later(0, () => this.#events?.onFrame(from, frame, reply));
    });
  }

  setPeers(peers: Peer[]): void {
    this.#peers = new Set(peers.map(({ id }) => id));
  }

  send(to: NodeId, channel: Channel, frame: Uint8Array): boolean {
    if (!this.#peers.has(to)) return false;
    if (!this.#network.isReachable(this.#id, to)) this.#noticeLater(to);
    this.#network.carry(this.#id, to, channel, frame);
    return true;
  }

  #noticeLater(to: NodeId): void {
    if (this.#noticing.has(to)) return;
    this.#noticing.add(to);
    this.#later(noticeMs, () => {
      this.#noticing.delete(to);
      if (!this.#network.isReachable(this.#id, to)) this.#events?.onUnreachable(to);
    });
  }
}
