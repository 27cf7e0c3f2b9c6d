/**
 * Answers of a watch as bytes. Where many watch the same, their events are encoded once: an answer is a small part of its
 * own (header, watch id) and the events behind it, which in protobuf is the same as one message with all of them.
 */
import type * as grpc from "@grpc/grpc-js";
import type { WatchEvent } from "#base/backend.ts";
import { wireEvent } from "./messages.ts";
import { splitEvents } from "./watch-fragments.ts";

/** What a client asked for that changes the form of its events. */
export interface EventForm {
  filters: readonly ("NOPUT" | "NODELETE")[];
  prev_kv: boolean;
  fragment: boolean;
}

/** An answer whose events are bytes already. */
export interface EncodedAnswer {
  encodedEvents?: Uint8Array;
}

type Serialize = (answer: object) => Buffer;

export class WatchEncoder {
  readonly #serialize: Serialize;
  /** By the array that all of them were given, and the form. */
  readonly #encoded = new WeakMap<readonly WatchEvent[], Map<string, Uint8Array[]>>();

  constructor(serialize: Serialize) {
    this.#serialize = serialize;
  }

  /** In pieces, one for each answer; none when the form leaves nothing over. Nobody may change the events afterwards. */
  encode(
    events: readonly WatchEvent[],
    { filters, prev_kv: withPrevious, fragment }: EventForm,
  ): Uint8Array[] {
    const form = `${filters.join()} ${withPrevious} ${fragment}`;
    let known = this.#encoded.get(events);
    if (known === undefined) this.#encoded.set(events, (known = new Map<string, Uint8Array[]>()));
    let pieces = known.get(form);
    if (pieces === undefined) {
      const wanted = events.filter(({ type }) => !filters.includes(type === "put" ? "NOPUT" : "NODELETE"));
      const inAnswers = fragment ? splitEvents(wanted) : [wanted];
      pieces = wanted.length === 0 ? [] : inAnswers.map((piece) => this.#bytesOf(piece, withPrevious));
      known.set(form, pieces);
    }
    return pieces;
  }

  #bytesOf(events: readonly WatchEvent[], withPrevious: boolean): Uint8Array {
    return this.#serialize({ events: events.map((event) => wireEvent(event, withPrevious)) });
  }
}

/** The service with answers that may have an `EncodedAnswer`'s bytes. */
export function withEncodedEvents(service: grpc.ServiceDefinition): grpc.ServiceDefinition {
  const method = service["Watch"] as grpc.MethodDefinition<unknown, object>;
  const responseSerialize = ({ encodedEvents, ...answer }: EncodedAnswer): Buffer => {
    const own = method.responseSerialize(answer);
    return encodedEvents === undefined ? own : Buffer.concat([own, encodedEvents]);
  };
  return { ...service, Watch: { ...method, responseSerialize } } as grpc.ServiceDefinition;
}
