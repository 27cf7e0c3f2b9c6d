/**
 * What the two halves of a backend session say to each other. `backend-client.ts` implements a `Backend` from afar,
 * `backend-server.ts` carries it out. Used between the threads of a node and between a spare and a member.
 * Messages that are made in one turn travel together. They are numbered, so a lost one is noticed; then, or when the
 * other side falls silent, everything that waits ends with an error and every watch ends loudly.
 *
 * The client acknowledges what it has taken in, so that a server does not pile up events for one that
 * does not come to reading them (`send-window.ts`).
 */

import { StatusError } from "#base/errors.ts";
import { ByteWriter } from "#store/bytes.ts";

/** One side's way to the other. `send` returns false when the message was dropped. */
export interface SessionLink {
  send(message: Uint8Array<ArrayBuffer>): boolean;
  /** Calls back at the end of the present turn. */
  later(flush: () => void): void;
}

/**
 * New kinds go to the end, and say all in one byte: servers of earlier releases take what they don't know for a
 * "ping". "acknowledges": this client will. "acknowledged": it has taken in `acknowledgedBytes` more.
 * "understandsSame": it may be sent "same", which is "events" of another watch with what the last "events" had.
 */
export const toServer = [
  "range",
  "transact",
  "readRevision",
  "compact",
  "status",
  "watch",
  "cancel",
  "leadership",
  "ping",
  "lease",
  "acknowledges",
  "acknowledged",
  "understandsSame",
] as const;
export const toClient = ["result", "error", "events", "end", "leadership", "pong", "same"] as const;

export const acknowledgedBytes = 64 << 10;

/** Gathers parts and sends them as one numbered message. */
export class Outbox {
  readonly #link: SessionLink;
  readonly #onDropped: () => void;
  #out: ByteWriter | undefined;
  #number = 0;

  constructor(link: SessionLink, onDropped: () => void) {
    this.#link = link;
    this.#onDropped = onDropped;
  }

  /** Of the message that is being gathered. */
  get gatheredBytes(): number {
    return this.#out?.length ?? 0;
  }

  /** The writer for the next part of the present message. */
  open(): ByteWriter {
    if (this.#out === undefined) {
      this.#out = new ByteWriter(1024).integer(++this.#number);
      this.#link.later(() => this.#flush());
    }
    return this.#out;
  }

  #flush(): void {
    const out = this.#out;
    this.#out = undefined;
    if (out !== undefined && !this.#link.send(out.finish())) this.#onDropped();
  }
}

export function lostError(): StatusError {
  return new StatusError("ServiceUnavailable", "the connection to the datastore was lost");
}
