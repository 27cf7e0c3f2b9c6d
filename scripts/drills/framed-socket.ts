/** Between the drills' clients and a node: a length, a byte that says what it is, and the message. */
import type { Socket } from "node:net";

/** A question about the node itself, or its answer. */
export interface Control {
  id: number;
  method: "status" | "addMember";
  argument?: unknown;
  result?: unknown;
  error?: string;
}

export interface FramedEvents {
  onSession(body: Uint8Array): void;
  onControl(control: Control): void;
  onClose(reason: string): void;
}

const session = 0;
const control = 1;
const maxQueuedBytes = 32 << 20;

export class FramedSocket {
  readonly #socket: Socket;
  readonly #events: FramedEvents;
  #buffer: Buffer = Buffer.alloc(0);
  #closed = false;

  constructor(socket: Socket, events: FramedEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("error", (error) => this.close(error.message));
    socket.on("close", () => this.close("closed by the other side"));
  }

  sendSession(body: Uint8Array): boolean {
    return this.#send(session, body);
  }

  sendControl(message: Control): boolean {
    return this.#send(control, Buffer.from(JSON.stringify(message)));
  }

  close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.destroy();
    this.#events.onClose(reason);
  }

  #send(type: number, body: Uint8Array): boolean {
    if (this.#closed || this.#socket.writableLength > maxQueuedBytes) return false;
    const head = Buffer.alloc(5);
    head.writeUInt32LE(body.length, 0);
    head[4] = type;
    this.#socket.write(Buffer.concat([head, body]));
    return true;
  }

  #onData(chunk: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    while (this.#buffer.length >= 5 && !this.#closed) {
      const end = 5 + this.#buffer.readUInt32LE(0);
      if (this.#buffer.length < end) return;
      const type = this.#buffer[4];
      // A copy: readers keep parts of it.
      const body = new Uint8Array(this.#buffer.subarray(5, end));
      this.#buffer = this.#buffer.subarray(end);
      if (type === session) this.#events.onSession(body);
      else this.#events.onControl(JSON.parse(Buffer.from(body).toString("utf8")) as Control);
    }
  }
}
