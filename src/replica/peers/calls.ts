/** Calls between replicas: a request with an answer and a deadline. Nothing waits for longer than that. */

import { StatusError } from "#base/errors.ts";
import type { Clock, Timer } from "#base/ports.ts";
import type { NodeId } from "#raft/types.ts";
import { stoppedError, timeoutError } from "../errors.ts";
import { MalformedError } from "#store/bytes.ts";
import type { Frame } from "./frames.ts";
import { encodeFrame } from "./frames.ts";
import type { PeerTransport, Reply } from "../ports.ts";

type Handler = (from: NodeId, body: Uint8Array) => Promise<Uint8Array> | Uint8Array;

interface Outstanding {
  to: NodeId;
  timer: Timer;
  resolve(body: Uint8Array): void;
  reject(error: Error): void;
}

export class Calls {
  readonly #clock: Clock;
  readonly #transport: PeerTransport;
  readonly #handlers: Record<string, Handler>;
  readonly #outstanding = new Map<number, Outstanding>();
  #lastId = 0;

  constructor(clock: Clock, transport: PeerTransport, handlers: Record<string, Handler>) {
    this.#clock = clock;
    this.#transport = transport;
    this.#handlers = handlers;
  }

  /** What this replica answers. */
  get methods(): string[] {
    return Object.keys(this.#handlers);
  }

  call(to: NodeId, method: string, body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(timeoutMs, () => this.#settle(id)?.reject(timeoutError()));
      this.#outstanding.set(id, { to, timer, resolve, reject });
      if (!this.#transport.send(to, "bulk", encodeFrame({ type: "call", id, method, body }))) {
        this.#settle(id)?.reject(new StatusError("ServiceUnavailable", "the peer can't be reached"));
      }
    });
  }

  async serve(from: NodeId, frame: Frame & { type: "call" }, reply: Reply): Promise<void> {
    const { id, method, body } = frame;
    try {
      const handler = Object.hasOwn(this.#handlers, method) ? this.#handlers[method] : undefined;
      if (handler === undefined) throw new StatusError("NotImplemented", `unknown call ${method}`);
      reply(encodeFrame({ type: "answer", id, body: await handler(from, body) }));
    } catch (error) {
      reply(encodeFrame({ type: "failure", id, error: statusOf(error) }));
    }
  }

  answered(frame: Frame & { type: "answer" | "failure" }): void {
    const outstanding = this.#settle(frame.id);
    if (frame.type === "answer") outstanding?.resolve(frame.body);
    else outstanding?.reject(frame.error);
  }

  /** Its connection is gone: answers won't come. */
  lost(peer: NodeId): void {
    for (const [id, { to }] of this.#outstanding) {
      if (to === peer) this.#settle(id)?.reject(timeoutError());
    }
  }

  close(): void {
    for (const id of this.#outstanding.keys()) this.#settle(id)?.reject(stoppedError());
  }

  #settle(id: number): Outstanding | undefined {
    const outstanding = this.#outstanding.get(id);
    outstanding?.timer.cancel();
    this.#outstanding.delete(id);
    return outstanding;
  }
}

function statusOf(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  const reason = error instanceof MalformedError ? "BadRequest" : "InternalError";
  return new StatusError(reason, String(error), { cause: error });
}
