/** A client's way to one node: a backend over a connection that is made again whenever it breaks. */
import { connect } from "node:net";
import { StatusError } from "#base/errors.ts";
import { BackendClient } from "#replica/session/backend-client.ts";
import { FramedSocket } from "./framed-socket.ts";
import type { Control } from "./framed-socket.ts";

const connectTimeoutMs = 1000;
const retryMs = 100;
/** After which a silent node counts as gone: as clients of a real cluster would have it. */
const silenceMs = 3000;
const callTimeoutMs = 5000;
const tickMs = 500;

export class NodeLink {
  readonly name: string;
  readonly #host: string;
  readonly #port: number;
  readonly #calls = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  readonly #timer: NodeJS.Timeout;
  #framed: FramedSocket | undefined;
  #backend: BackendClient | undefined;
  #lastId = 0;
  #tickedMs = performance.now();
  #closed = false;

  constructor(name: string, host: string, port: number) {
    this.name = name;
    this.#host = host;
    this.#port = port;
    this.#timer = setInterval(() => this.#tick(), tickMs);
    this.#connect();
  }

  /** Throws ServiceUnavailable while there is no connection. */
  get backend(): BackendClient {
    if (this.#backend === undefined)
      throw new StatusError("ServiceUnavailable", `no connection to ${this.name}`);
    return this.#backend;
  }

  control<T>(method: Control["method"], argument?: unknown): Promise<T> {
    const id = ++this.#lastId;
    return new Promise<T>((resolve, reject) => {
      if (this.#framed?.sendControl({ id, method, argument }) !== true) {
        reject(new Error(`no connection to ${this.name}`));
        return;
      }
      const timer = setTimeout(() => reject(new Error(`${this.name} does not answer`)), callTimeoutMs);
      this.#calls.set(id, {
        resolve(result) {
          clearTimeout(timer);
          resolve(result as T);
        },
        reject(error) {
          clearTimeout(timer);
          reject(error);
        },
      });
    });
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#framed?.close("the drills are over");
  }

  #tick(): void {
    const now = performance.now();
    const wasLate = now - this.#tickedMs > 4 * tickMs;
    this.#tickedMs = now;
    // Whoever has been busy himself has not listened either: what has come meanwhile is read first.
    if (wasLate) return;
    this.#backend?.tick(silenceMs);
    if (this.#backend?.failure !== undefined) this.#framed?.close("silent");
  }

  #connect(): void {
    if (this.#closed) return;
    const socket = connect(this.#port, this.#host);
    const timer = setTimeout(() => socket.destroy(new Error("no answer")), connectTimeoutMs);
    const framed = new FramedSocket(socket, {
      onSession: (body) => this.#backend?.receive(body),
      onControl: ({ id, result, error }) => {
        const call = this.#calls.get(id);
        this.#calls.delete(id);
        if (error === undefined) call?.resolve(result);
        else call?.reject(new Error(error));
      },
      onClose: (reason) => {
        clearTimeout(timer);
        this.#onClose(reason);
      },
    });
    socket.once("connect", () => {
      clearTimeout(timer);
      this.#framed = framed;
      this.#backend = new BackendClient(
        {
          send: (body) => framed.sendSession(body),
          later: (flush) => process.nextTick(flush),
        },
        () => performance.now(),
      );
    });
  }

  #onClose(reason: string): void {
    const backend = this.#backend;
    this.#framed = undefined;
    this.#backend = undefined;
    backend?.fail(new StatusError("ServiceUnavailable", `the connection to ${this.name} is gone: ${reason}`));
    for (const { reject } of this.#calls.values()) reject(new Error(reason));
    this.#calls.clear();
    if (!this.#closed) setTimeout(() => this.#connect(), retryMs);
  }
}
