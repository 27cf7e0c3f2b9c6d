/**
 * What peers send, and to whom of this replica it goes: raft's messages, proposals that were forwarded,
 * calls and their answers. Whoever was removed from the cluster is not listened to.
 */

import type { Clock, Logger } from "#base/ports.ts";
import type { RawNode } from "#raft/raw-node.ts";
import type { Message, NodeId } from "#raft/types.ts";
import { validateMessage } from "#raft/validate.ts";
import type { Calls } from "./calls.ts";
import type { Frame } from "./frames.ts";
import { decodeFrame, encodeFrame } from "./frames.ts";
import { formatMemberId } from "./member-id.ts";
import type { Proposals } from "./proposals.ts";
import { ForwardedOnce } from "./proposals.ts";
import type { ReplicaState } from "./replica-state.ts";
import type { SnapshotReceiver } from "./snapshot-transfer.ts";

interface Receivers {
  id: NodeId;
  clock: Clock;
  logger: Logger;
  node: RawNode;
  state: ReplicaState;
  calls: Calls;
  proposals: Proposals;
  snapshots: SnapshotReceiver;
  /** Returns false when this replica can't take a proposal now. */
  propose(data: Uint8Array): boolean;
  /** Frames that the core does not know. */
  onOther(from: NodeId, frame: Frame, reply: (frame: Uint8Array) => void): void;
  askTurn(): void;
}

export class PeerFrames {
  readonly #to: Receivers;
  readonly #forwarded = new ForwardedOnce();
  /** When something was last heard from a member, monotonic. */
  readonly heardMs = new Map<NodeId, number>();
  #closed = false;

  constructor(receivers: Receivers) {
    this.#to = receivers;
  }

  receive(from: NodeId, bytes: Uint8Array, reply: (frame: Uint8Array) => void): void {
    const { clock, logger, proposals, calls, state } = this.#to;
    if (this.#closed || state.isStranger(from)) return;
    this.heardMs.set(from, clock.monotonicMs());
    let frame: Frame;
    try {
      frame = decodeFrame(bytes);
    } catch (error) {
      logger.warn("a peer sent a frame that can't be read", { error: String(error) });
      return;
    }
    switch (frame.type) {
      case "raft":
        for (const message of frame.messages) this.#onRaftMessage(from, message);
        break;
      case "forward":
        this.#onForward(frame, reply);
        break;
      case "refused":
        proposals.refused(frame.term, frame.sequence);
        break;
      case "call":
        void calls.serve(from, frame, reply);
        break;
      case "answer":
      case "failure":
        calls.answered(frame);
        break;
      default:
        this.#to.onOther(from, frame, reply);
    }
    this.#to.askTurn();
  }

  close(): void {
    this.#closed = true;
  }

  #onRaftMessage(from: NodeId, message: Message): void {
    const { id, logger, node, state, calls, snapshots } = this.#to;
    if (message.from !== from) return;
    const fault = validateMessage(message, { id, term: node.raft.term });
    if (fault !== undefined) {
      logger.warn("refused a peer's message", { peer: formatMemberId(from), type: message.type, fault });
      return;
    }
    const { snapshot } = message;
    const isNews = message.type === "snapshot" && snapshot !== undefined;
    if (!isNews || snapshot.metadata.index <= state.store.position.index) {
      node.step(message);
      return;
    }
    void snapshots.fetch(from, snapshot).then((outcome) => {
      if (this.#closed || outcome === "overtaken") return;
      if (outcome === "failed")
        calls.call(from, "snapshotFailed", new Uint8Array(0), 2000).catch(() => undefined);
      else node.step(message);
      this.#to.askTurn();
    });
  }

  #onForward(frame: Frame & { type: "forward" }, reply: (frame: Uint8Array) => void): void {
    const { role, term } = this.#to.node.raft;
    const leads = role === "leader" && term === frame.term;
    if (leads && !this.#forwarded.take(frame.term, frame.floor, frame.data)) return;
    if (leads && this.#to.propose(frame.data)) return;
    reply(encodeFrame({ type: "refused", term: frame.term, sequence: this.#forwarded.forget(frame.data) }));
  }
}
