/**
 * Carries out what raft wants, in turns: whatever changes raft asks for a turn, and all that happens
 * within one task shares it. Messages leave for the peers before the log is waited for; what is committed
 * is applied in order.
 */

import type { Clock } from "#base/ports.ts";
import type { RawNode } from "#raft/raw-node.ts";
import type { Message, NodeId, ReadState } from "#raft/types.ts";
import { localAppendThread, localApplyThread } from "#raft/types.ts";
import type { Applier } from "./applier.ts";
import type { LogWrite, ReplicaLog } from "./log/log.ts";
import { RaftOutbox } from "./peers/raft-outbox.ts";

interface TurnParts {
  id: NodeId;
  clock: Clock;
  node: RawNode;
  log: ReplicaLog;
  applier: Applier;
  /** Returns false when the frame can't be sent now. */
  send(to: NodeId, messages: Message[]): boolean;
  onBegin(): void;
  onReads(reads: readonly ReadState[]): void;
  /** Who leads, or in which role this replica is, has changed. */
  onSoftState(): void;
  /** The snapshot of this token takes the place of the state, now. */
  onSnapshot(token: string): void;
  /** Nothing can be relied on after this. */
  onError(error: Error): void;
}

export class RaftTurns {
  readonly #parts: TurnParts;
  readonly #outbox: RaftOutbox;
  /** What was found in the log at the start is durable. */
  #recovered = false;
  #asked = false;
  #closed = false;

  constructor(parts: TurnParts) {
    this.#parts = parts;
    this.#outbox = new RaftOutbox(parts.clock, {
      send: (to, messages) => parts.send(to, messages),
      onNotSent: (to, messages) => this.#onNotSent(to, messages),
      onLeft: () => this.ask(),
    });
  }

  /**
   * Begins with the turns once what was found in the log is durable: a process that was killed may have left the
   * end of it to the system's memory. Applied and flushed with the state, it would then be missing in the log.
   */
  start(): void {
    const done = () => {
      this.#recovered = true;
      this.ask();
    };
    this.#parts.log.write({ entries: [], done });
  }

  /** A turn comes soon, but never from within this call. */
  ask(): void {
    if (this.#asked || this.#closed) return;
    this.#asked = true;
    queueMicrotask(() => {
      this.#asked = false;
      if (!this.#closed) this.#guarded(() => this.#turn());
    });
  }

  /** Somebody at this peer waits until the entry is applied there. */
  await(peer: NodeId, index: number): void {
    this.#outbox.await(peer, index);
  }

  /** News of commits leave at the end of the turn: they tell of a change of the members. */
  hurry(): void {
    this.#outbox.hurry();
  }

  close(): void {
    this.#closed = true;
    this.#outbox.close();
  }

  /** What raft or the state refuses ends the replica in order, wherever it came from. */
  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#parts.onError(error as Error);
    }
  }

  #turn(): void {
    const { node } = this.#parts;
    if (!this.#recovered) return;
    this.#parts.onBegin();
    // What had to wait, for room on the disk or for a flush of the state.
    this.#parts.applier.run();
    while (node.hasReady() && !this.#closed) {
      const ready = node.ready();
      this.#parts.onReads(ready.readStates);
      this.#dispatch(ready.messages);
      if (ready.softState !== undefined) this.#parts.onSoftState();
    }
  }

  /** To peers, one frame each, and only then to the two storage tasks, in order: others need not wait for this disk. */
  #dispatch(messages: Message[]): void {
    const { id, node, clock, applier } = this.#parts;
    const outgoing: Message[] = [];
    const appends: Message[] = [];
    for (const message of messages) {
      if (message.to === localAppendThread) appends.push(message);
      else if (message.to === localApplyThread) applier.push(message);
      else if (message.to === id) node.step(message);
      else outgoing.push(message);
    }
    this.#outbox.send(outgoing);
    for (const message of appends) this.#append(message);
    // What is to be durable comes first: somebody waits to hear of it.
    if (appends.length > 0) clock.setTimer(0, () => this.ask());
    else applier.run();
  }

  #append(message: Message): void {
    const { entries = [], snapshot, responses = [] } = message;
    const write: LogWrite = {
      entries,
      done: () => {
        this.#guarded(() => this.#dispatch(responses));
        this.ask();
      },
    };
    if (message.term !== undefined) {
      write.hardState = { term: message.term, vote: message.vote ?? 0, commit: message.commit ?? 0 };
    }
    if (snapshot !== undefined) {
      this.#parts.onSnapshot(snapshot.token);
      write.reset = { index: snapshot.metadata.index, term: snapshot.metadata.term };
    }
    this.#parts.log.write(write);
  }

  #onNotSent(to: NodeId, messages: Message[]): void {
    const { node } = this.#parts;
    node.reportUnreachable(to);
    if (messages.some((message) => message.type === "snapshot")) node.reportSnapshot(to, false);
  }
}
