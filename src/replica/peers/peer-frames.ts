/**
 * What peers send, and to whom of this replica it goes: raft's messages, proposals that were forwarded,
 * calls and their answers. Whoever was removed from the cluster is not listened to.
 */

import type { Clock, Logger } from "#base/ports.ts";
import type { RawNode } from "#raft/raw-node.ts";
import type { Message, NodeId } from "#raft/types.ts";
import { validateMessage } from "#raft/validate.ts";
import { MalformedError } from "#store/bytes.ts";
import type { Calls } from "./calls.ts";
import type { Frame } from "./frames.ts";
import { decodeFrame, encodeFrame } from "./frames.ts";
import { formatMemberId } from "../member-id.ts";
import type { Reply } from "../ports.ts";
import type { Proposals } from "../proposals.ts";
import { ForwardedOnce, requireProposal } from "../proposals.ts";
import { Refusals } from "./refusals.ts";
import type { ReplicaState } from "../replica-state.ts";
import type { SnapshotReceiver } from "../snapshot-transfer.ts";

interface Receivers {
  id: NodeId;
  clock: Clock;
  logger: Logger;
  node: RawNode;
  state: ReplicaState;
  calls: Calls;
  proposals: Proposals;
  snapshots: SnapshotReceiver;
  /** A proposal of `from`. Returns false when this replica can't take it now. */
  propose(from: NodeId, data: Uint8Array): boolean;
  /** Frames that the core does not know. */
  onOther(from: NodeId, frame: Frame, reply: Reply): void;
  askTurn(): void;
  /** What a peer sent is well-formed and can't be true here: this replica can't go on. */
  onError(error: Error): void;
}

export class PeerFrames {
  readonly #to: Receivers;
  readonly #forwarded = new ForwardedOnce();
  readonly #refusals: Refusals;
  /** When something was last heard from a member, monotonic. */
  readonly heardMs = new Map<NodeId, number>();
  #closed = false;

  constructor(receivers: Receivers) {
    this.#to = receivers;
    this.#refusals = new Refusals(receivers.clock, receivers.logger);
  }

  receive(from: NodeId, bytes: Uint8Array, reply: Reply): void {
    const { clock, state } = this.#to;
    if (this.#closed || state.isStranger(from)) return;
    this.heardMs.set(from, clock.monotonicMs());
    const peer = formatMemberId(from);
    try {
      this.#pass(from, decodeFrame(bytes), reply);
    } catch (error) {
      // What a frame carries may turn out to be unreadable only where it is used.
      const unreadable = error instanceof MalformedError;
      if (unreadable)
        this.#refusals.say("a peer sent a frame that can't be read", { peer, error: String(error) });
      else this.#to.onError(error as Error);
      return;
    }
    this.#to.askTurn();
  }

  close(): void {
    this.#closed = true;
  }

  #pass(from: NodeId, frame: Frame, reply: Reply): void {
    const { proposals, calls } = this.#to;
    switch (frame.type) {
      case "raft":
        for (const message of frame.messages) if (!this.#closed) this.#onRaftMessage(from, message);
        break;
      case "forward":
        this.#onForward(from, frame, reply);
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
  }

  #onRaftMessage(from: NodeId, message: Message): void {
    const { id, node, state, calls, snapshots } = this.#to;
    if (message.from !== from) return;
    const fault = validateMessage(message, { id, term: node.raft.term });
    if (fault !== undefined) {
      this.#refusals.say("refused a peer's message", {
        peer: formatMemberId(from),
        type: message.type,
        fault,
      });
      return;
    }
    const { snapshot } = message;
    const isNews = message.type === "snapshot" && snapshot !== undefined;
    if (!isNews || snapshot.metadata.index <= state.store.position.index) {
      this.#step(message);
      return;
    }
    void snapshots.fetch(from, snapshot).then((outcome) => {
      if (this.#closed || outcome === "overtaken") return;
      if (outcome === "failed")
        calls.call(from, "snapshotFailed", new Uint8Array(0), 2000).catch(() => undefined);
      else this.#step(message);
      this.#to.askTurn();
    });
  }

  /** Well-formed, but perhaps against all that this member knows: then either of the two has lost something. */
  #step(message: Message): void {
    const { node } = this.#to;
    try {
      node.step(message);
    } catch (error) {
      const sender = formatMemberId(message.from);
      const what = `the ${message.type} of member ${sender} contradicts this member's log`;
      this.#to.onError(new Error(`${what}: ${(error as Error).message}`, { cause: error }));
    }
  }

  #onForward(from: NodeId, frame: Frame & { type: "forward" }, reply: Reply): void {
    const { node, state } = this.#to;
    const { role, term } = node.raft;
    // It would end every replica that comes to apply it.
    requireProposal(frame.data, state.format);
    const leads = role === "leader" && term === frame.term;
    if (leads && !this.#forwarded.take(frame.term, frame.floor, frame.data)) return;
    if (leads && this.#to.propose(from, frame.data)) return;
    reply(encodeFrame({ type: "refused", term: frame.term, sequence: this.#forwarded.forget(frame.data) }));
  }
}
