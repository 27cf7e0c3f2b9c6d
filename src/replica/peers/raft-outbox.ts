/**
 * Raft's messages on their way to the peers. News of commits alone wait a little, or for the next message
 * that leaves: whoever waits for the answer to a write comes first, and the next append tells the same. A
 * member of which a proposal is on its way, and whose clients thus wait for the news, gets them at the end
 * of the turn.
 */

import type { Clock, Timer } from "#base/ports.ts";
import type { Message, NodeId } from "#raft/types.ts";

export interface OutboxEvents {
  /** Returns false when the frame can't be sent now. */
  send(to: NodeId, messages: Message[]): boolean;
  onNotSent(to: NodeId, messages: Message[]): void;
  /** What was held has left outside of a turn. */
  onLeft(): void;
}

/** A client that writes one thing after the other writes the next one within this time. */
const newsDelayMs = 2;

export class RaftOutbox {
  readonly #clock: Clock;
  readonly #events: OutboxEvents;
  /** What is not urgent, per peer. */
  readonly #held = new Map<NodeId, Message[]>();
  #leaving: { delayMs: number; timer: Timer } | undefined;
  /** The last entry that was proposed by this peer, until it was told that it is committed. */
  readonly #awaited = new Map<NodeId, number>();

  constructor(clock: Clock, events: OutboxEvents) {
    this.#clock = clock;
    this.#events = events;
  }

  /** Somebody at this peer waits until the entry is applied there. */
  await(peer: NodeId, index: number): void {
    this.#awaited.set(peer, index);
  }

  /** Nothing waits longer than until the end of the turn: what is held tells of a change of the members. */
  hurry(): void {
    if (this.#held.size > 0) this.#leaveWithin(0);
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
    this.#leaving?.timer.cancel();
    this.#held.clear();
  }

  #hold(to: NodeId, messages: Message[]): void {
    const held = this.#held.get(to);
    if (held === undefined) this.#held.set(to, messages);
    else held.push(...messages);
    this.#leaveWithin(this.#awaited.has(to) ? 0 : newsDelayMs);
  }

  #leaveWithin(delayMs: number): void {
    if (this.#leaving !== undefined) {
      if (this.#leaving.delayMs <= delayMs) return;
      this.#leaving.timer.cancel();
    }
    const timer = this.#clock.setTimer(delayMs, () => {
      this.#leaving = undefined;
      for (const peer of this.#held.keys()) this.#sendNow(peer, []);
      this.#events.onLeft();
    });
    this.#leaving = { delayMs, timer };
  }

  #sendNow(to: NodeId, batch: Message[]): void {
    const messages = [...(this.#held.get(to) ?? []), ...batch];
    this.#held.delete(to);
    if (messages.length === 0) return;
    this.#noteTold(to, messages);
    if (!this.#events.send(to, messages)) this.#events.onNotSent(to, messages);
  }

  #noteTold(to: NodeId, messages: Message[]): void {
    const awaited = this.#awaited.get(to);
    if (awaited === undefined) return;
    if (messages.some(({ type, commit = 0 }) => type === "append" && commit >= awaited))
      this.#awaited.delete(to);
  }
}

/** An append without entries tells only how far the log is committed. */
function isCommitNews(message: Message): boolean {
  return message.type === "append" && (message.entries?.length ?? 0) === 0;
}
