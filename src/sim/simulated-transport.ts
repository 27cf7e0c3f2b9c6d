/**
 * Connections between simulated replicas: frames arrive in order per peer and channel, late on bad links
 * (lost packets are sent again), and are lost when a cut breaks the connection, which is noticed after a
 * while. On lossy days it is worse than any connection: frames that raft must be able to miss, or to see
 * twice or late, are dropped, doubled and reordered one by one.
 */

import type { NodeId } from "#raft/types.ts";
import { decodeFrame } from "#replica/peers/frames.ts";
import type { Peer, PeerTransport, PeerTransportEvents } from "#replica/ports.ts";
import type { SeededRandom } from "./seeded-random.ts";
import type { SimulatedLinks } from "./simulated-links.ts";
import type { SimulatedTime } from "./simulated-time.ts";

type Channel = "raft" | "bulk";
type Receive = (from: NodeId, frame: Uint8Array, reply: (frame: Uint8Array) => void) => void;

const retransmitMs = 200;
const noticeMs = 1000;
/** Whatever its sender says again, or does not need: these may get lost without a lost connection. */
const replaceable = new Set(["raft", "forward", "report", "alive"]);

/** All machines' ends. A machine that is down has none. */
export class SimulatedNetwork {
  /** Frames that may be lost, doubled and reordered one by one: how many of them are. */
  lossProbability = 0;
  /** Sees every frame that is delivered. */
  onDelivery: ((from: NodeId, to: NodeId, frame: Uint8Array) => void) | undefined;
  readonly #time: SimulatedTime;
  readonly #links: SimulatedLinks;
  readonly #random: SeededRandom;
  readonly #ends = new Map<NodeId, { receive: Receive; unreachable(peer: NodeId): void }>();
  /** When the newest frame on each connection arrives: none overtakes. */
  readonly #lastArrival = new Map<string, number>();
  /** Counts the connections there have been between two machines: frames of an earlier one are lost. */
  readonly #resets = new Map<string, number>();

  constructor(time: SimulatedTime, links: SimulatedLinks, random: SeededRandom) {
    this.#time = time;
    this.#links = links;
    this.#random = random;
  }

  attach(id: NodeId, end: { receive: Receive; unreachable(peer: NodeId): void }): void {
    this.#ends.set(id, end);
  }

  detach(id: NodeId): void {
    this.#ends.delete(id);
  }

  isReachable(from: NodeId, to: NodeId): boolean {
    return this.#ends.has(to) && this.#links.connects(from, to) && this.#links.connects(to, from);
  }

  /** All connections between the two break, with what is on its way; both notice. */
  reset(a: NodeId, b: NodeId): void {
    const pair = pairOf(a, b);
    this.#resets.set(pair, (this.#resets.get(pair) ?? 0) + 1);
    this.#time.after(this.#links.delayMs(), () => this.#ends.get(a)?.unreachable(b));
    this.#time.after(this.#links.delayMs(), () => this.#ends.get(b)?.unreachable(a));
  }

  carry(from: NodeId, to: NodeId, channel: Channel | "reply", frame: Uint8Array): void {
    const end = this.#ends.get(to);
    if (!this.#links.connects(from, to) || end === undefined) return;
    if (this.lossProbability > 0 && replaceable.has(decodeFrame(frame).type)) {
      const copies = this.#random.chance(this.lossProbability) ? (this.#random.pick([0, 0, 2]) ?? 0) : 1;
      for (let copy = 0; copy < copies; copy++) {
        this.#deliver(from, to, frame, end, this.#links.delayMs() * this.#random.between(0, 3));
      }
      return;
    }
    const delayMs = this.#links.delaysMs(from, to)[0] ?? retransmitMs + this.#links.delayMs();
    const connection = `${from}>${to}/${channel}`;
    const atMs = Math.max(this.#lastArrival.get(connection) ?? 0, this.#time.nowMs + delayMs);
    this.#lastArrival.set(connection, atMs);
    this.#deliver(from, to, frame, end, atMs - this.#time.nowMs);
  }

  #deliver(from: NodeId, to: NodeId, frame: Uint8Array, end: { receive: Receive }, delayMs: number): void {
    const resets = this.#resets.get(pairOf(from, to));
    this.#time.after(delayMs, () => {
      // The receiver of a frame that was sent before it restarted is gone.
      if (!this.#links.connects(from, to) || this.#ends.get(to) !== end) return;
      if (this.#resets.get(pairOf(from, to)) !== resets) return;
      this.onDelivery?.(from, to, frame);
      end.receive(from, frame, (answer) => this.carry(to, from, "reply", answer));
    });
  }
}

/** What a running machine gives to its end of the network. */
export interface TransportUser {
  isAlive(): boolean;
  later(delayMs: number, action: () => void): void;
  /** Does it now, or when the machine goes on. */
  now(action: () => void): void;
}

export class SimulatedTransport implements PeerTransport {
  readonly #id: NodeId;
  readonly #network: SimulatedNetwork;
  readonly #user: TransportUser;
  #peers = new Set<NodeId>();
  #events: PeerTransportEvents | undefined;
  readonly #noticing = new Set<NodeId>();

  constructor(id: NodeId, network: SimulatedNetwork, user: TransportUser) {
    this.#id = id;
    this.#network = network;
    this.#user = user;
  }

  start(events: PeerTransportEvents): void {
    this.#events = events;
    this.#network.attach(this.#id, {
      receive: (from, frame, reply) =>
        this.#user.now(() =>
          this.#events?.onFrame(from, frame, (answer) => {
            if (!this.#user.isAlive()) return false;
            reply(answer);
            return true;
          }),
        ),
      unreachable: (peer) =>
        this.#user.now(() => {
          if (this.#peers.has(peer)) this.#events?.onUnreachable(peer);
        }),
    });
  }

  setPeers(peers: Peer[]): void {
    this.#peers = new Set(peers.map(({ id }) => id));
  }

  send(to: NodeId, channel: Channel, frame: Uint8Array): boolean {
    if (!this.#peers.has(to) || !this.#user.isAlive()) return false;
    if (!this.#network.isReachable(this.#id, to)) this.#noticeLater(to);
    this.#network.carry(this.#id, to, channel, frame);
    return true;
  }

  #noticeLater(to: NodeId): void {
    if (this.#noticing.has(to)) return;
    this.#noticing.add(to);
    this.#user.later(noticeMs, () => {
      this.#noticing.delete(to);
      if (!this.#network.isReachable(this.#id, to)) this.#events?.onUnreachable(to);
    });
  }
}

function pairOf(a: NodeId, b: NodeId): string {
  return a < b ? `${a}-${b}` : `${b}-${a}`;
}
