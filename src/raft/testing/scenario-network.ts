/** The network of a scenario: messages arrive in the order in which they were sent, unless a link is cut or holds them back. */

import type { Message, MessageType, NodeId } from "../types.ts";

/** What becomes of a message when it is sent. */
export type Fate = "sent" | "lost" | "held";

export class ScenarioNetwork {
  #queue: Message[] = [];
  #held: Message[] = [];
  /** Links, as "from>to". */
  readonly #cut = new Set<string>();
  readonly #holding = new Set<string>();
  /** Kinds of messages that are lost wherever they are sent. */
  readonly #lostTypes = new Set<MessageType>();

  send(message: Message): Fate {
    const link = linkName(message.from, message.to);
    if (this.#cut.has(link) || this.#lostTypes.has(message.type)) return "lost";
    if (this.#holding.has(link)) {
      this.#held.push(message);
      return "held";
    }
    this.#queue.push(message);
    return "sent";
  }

  next(): Message | undefined {
    return this.#queue.shift();
  }

  cut(from: NodeId, to: NodeId): void {
    this.#cut.add(linkName(from, to));
  }

  mend(from: NodeId, to: NodeId): void {
    this.#cut.delete(linkName(from, to));
  }

  hold(from: NodeId, to: NodeId): void {
    this.#holding.add(linkName(from, to));
  }

  lose(type: MessageType): void {
    this.#lostTypes.add(type);
  }

  /** No link is cut and no message is lost any more. What is held back stays so. */
  heal(): void {
    this.#cut.clear();
    this.#lostTypes.clear();
  }

  /** What was held back arrives now, late. What is sent next is held back too if `goesOn`. */
  release(isReversed: boolean, goesOn: boolean): Message[] {
    const late = isReversed ? this.#held.toReversed() : this.#held;
    this.#held = [];
    if (!goesOn) this.#holding.clear();
    this.#queue.push(...late);
    return late;
  }
}

function linkName(from: NodeId, to: NodeId): string {
  return `${from}>${to}`;
}
