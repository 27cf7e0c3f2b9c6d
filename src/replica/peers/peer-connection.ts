/**
 * One connection between two replicas: frames with a length before each, a greeting first, and a sign of
 * life every second, so that a peer that vanished without a word is noticed within seconds.
 */

import type { TLSSocket } from "node:tls";
import type { NodeId } from "#raft/types.ts";
import type { FormatRange } from "#store/format.ts";
import { commonFormat, rangeText, supportedFormats } from "#store/format.ts";
import { readGreeting } from "./peer-json.ts";
import type { MemberRecord } from "../types.ts";

export interface Greeting {
  version: 1;
  clusterId: string;
  id: NodeId;
  channel: "raft" | "bulk";
  /** What the sender's release can read. Absent: format 1 only. */
  formats?: FormatRange;
  /** host:port where the sender listens now, whatever is known of it elsewhere. */
  address?: string;
  /** In an answer to a member of a cluster that is no more: the one that took its place. */
  successor?: Succession;
}

/** A cluster that took the place of others. */
export interface Succession {
  clusterId: string;
  /** The ids of the clusters whose place it took. */
  formerIds: string[];
  members: MemberRecord[];
}

export interface ConnectionEvents {
  onGreeting(greeting: Greeting): void;
  onFrame(frame: Uint8Array): void;
  onClose(reason: string): void;
}

/** Of the greeting itself, which every release must be able to read. */
export const protocolVersion = 1 as const;
const maxFrameBytes = 32 << 20;
const signOfLifeMs = 1000;
const silenceMs = 4000;
const maxQueuedBytes = 32 << 20;

export class PeerConnection {
  readonly #socket: TLSSocket;
  readonly #events: ConnectionEvents;
  #chunks: Buffer[] = [];
  #buffered = 0;
  #greeted = false;
  #heardMs = performance.now();
  #corked = false;
  #closed = false;
  readonly #timer: NodeJS.Timeout;
  readonly #formats: FormatRange;

  /** A peer with which this node has no format in common is refused. */
  constructor(socket: TLSSocket, events: ConnectionEvents, formats = supportedFormats) {
    this.#formats = formats;
    this.#socket = socket;
    this.#events = events;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("error", (error) => this.close(error.message));
    socket.on("close", () => this.close("closed by the peer"));
    this.#timer = setInterval(() => this.#beat(), signOfLifeMs);
  }

  greet(greeting: Greeting): void {
    this.#write(Buffer.from(JSON.stringify(greeting)));
  }

  /** Returns false when the peer takes less than it is sent. */
  send(frame: Uint8Array): boolean {
    if (this.#closed || this.#socket.writableLength > maxQueuedBytes) return false;
    this.#write(frame);
    return true;
  }

  close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    this.#socket.destroy();
    this.#events.onClose(reason);
  }

  #write(frame: Uint8Array): void {
    // Frames of one turn go out together, in as few TLS records as possible.
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    const header = Buffer.allocUnsafe(4);
    header.writeUInt32LE(frame.length, 0);
    this.#socket.write(header);
    if (frame.length > 0) this.#socket.write(frame);
  }

  #beat(): void {
    if (performance.now() - this.#heardMs > silenceMs) this.close("the peer has fallen silent");
    else if (this.#socket.writableLength === 0) this.#write(new Uint8Array(0));
  }

  #onData(chunk: Buffer): void {
    this.#heardMs = performance.now();
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    while (this.#buffered >= 4 && !this.#closed) {
      const head = this.#peek();
      if (head > maxFrameBytes) {
        this.close(`a frame of ${head} bytes`);
        return;
      }
      if (this.#buffered < 4 + head) return;
      const frame = this.#take(4 + head).subarray(4);
      if (frame.length > 0) this.#onFrame(frame);
    }
  }

  #onFrame(frame: Buffer): void {
    if (this.#greeted) {
      this.#events.onFrame(new Uint8Array(frame.buffer, frame.byteOffset, frame.length));
      return;
    }
    try {
      const greeting = readGreeting(frame);
      if (greeting.version !== protocolVersion) {
        this.close(
          `the peer speaks version ${greeting.version} of the replica protocol, this node ${protocolVersion}`,
        );
        return;
      }
      const formats = greeting.formats ?? { min: 1, max: 1 };
      if (commonFormat(formats, this.#formats) === undefined) {
        this.close(
          `the peer's release speaks formats ${rangeText(formats)} of the datastore, this node's ${rangeText(this.#formats)}: ` +
            "upgrade one release at a time",
        );
        return;
      }
      this.#greeted = true;
      this.#events.onGreeting({ ...greeting, version: protocolVersion });
    } catch (error) {
      this.close(`not a greeting: ${String(error)}`);
    }
  }

  #peek(): number {
    const first = this.#chunks[0] as Buffer;
    if (first.length >= 4) return first.readUInt32LE(0);
    this.#chunks = [Buffer.concat(this.#chunks)];
    return (this.#chunks[0] as Buffer).readUInt32LE(0);
  }

  #take(count: number): Buffer {
    let first = this.#chunks[0] as Buffer;
    if (first.length < count) {
      first = Buffer.concat(this.#chunks);
      this.#chunks = [first];
    }
    this.#buffered -= count;
    if (first.length === count) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(count);
    return first.subarray(0, count);
  }
}
