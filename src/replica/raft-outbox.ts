/**
 * Raft's messages on their way to the peers. News of commits alone wait until the end of the turn, or for
 * the next message that leaves: whoever waits for the answer to a write comes first.
 */

import type { Clock } from "#base/ports.ts";
import type { Message, NodeId } from "#raft/types.ts";

export interface OutboxEvents {
  /** Returns false when the frame can't be sent now. */
  send(to: NodeId, messages: Message[]): boolean;
  onNotSent(to: NodeId, messages: Message[]): void;
  /** What was held has left outside of a turn. */
  onLeft(): void;
}

export class RaftOutbox {
  readonly #clock: Clock;
  readonly #events: OutboxEvents;
  /** What is not urgent, per peer, until the end of the turn. */
  readonly #held = new Map<NodeId, Message[]>();
  #closed = false;

  constructor(clock: Clock, events: OutboxEvents) {
    this.#clock = clock;
    this.#events = events;
  }

  /** One frame per peer, in the order of its messages. */
  send(messages: Message[]): void {
    const outgoing = new Map<NodeId, Message[]>();
    for (const message of messages) {
      const batch = outgoing.get(message.to);
      if (batch === undefined) outgoing.set(message.to, [message]);
      else batch.push(message);
    }
    for (const [to, batch] of outgoing) {
      if (batch.every(isCommitNews)) this.#hold(to, batch);
      else this.#sendNow(to, batch);
    }
  }

  close(): void {
    this.#closed = true;
  }

  #hold(to: NodeId, messages: Message[]): void {
    const held = this.#held.get(to);
    if (held !== undefined) {
      held.push(...messages);
      return;
    }
    this.#held.set(to, messages);
    if (this.#held.size > 1) return;
    this.#clock.setTimer(0, () => {
      if (this.#closed) return;
      for (const peer of this.#held.keys()) this.#sendNow(peer, []);
      this.#events.onLeft();
    });
  }

  #sendNow(to: NodeId, batch: Message[]): void {
    const messages = [...(this.#held.get(to) ?? []), ...batch];
    this.#held.delete(to);
    if (messages.length === 0) return;
    if (!this.#events.send(to, messages)) this.#events.onNotSent(to, messages);
  }
}

/** An append without entries tells only how far the log is committed. */
function isCommitNews(message: Message): boolean {
  return message.type === "append" && (message.entries?.length ?? 0) === 0;
}
