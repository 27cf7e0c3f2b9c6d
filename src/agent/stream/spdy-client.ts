/**
 * The client side of SPDY/3.1 as far as the runtime's streaming server needs it: an upgraded connection,
 * streams with a name, data both ways, half-close. Header blocks are sent in stored (uncompressed)
 * blocks, so no compressor is kept; the peer's header blocks say nothing of interest and are skipped.
 */
import { request } from "node:http";
import type { Socket } from "node:net";

export interface SpdyStream {
  /** False when the peer's buffer is full: go on after `onDrain` of the connection. */
  write(data: Uint8Array): boolean;
  /** Half-close: nothing more is sent, receiving goes on. */
  end(): void;
  onData: (data: Buffer) => void;
  /** The peer has ended its half, or the connection has broken. Called once. */
  onEnd: () => void;
}

/** Upgrades a URL of the streaming server. Rejects with the server's answer when it refuses. */
export async function connectSpdy(url: string, protocol: string): Promise<SpdyConnection> {
  const { socket, head } = await upgrade(url, {
    connection: "Upgrade",
    upgrade: "SPDY/3.1",
    "x-stream-protocol-version": protocol,
  });
  return new SpdyConnection(socket, head);
}

/** An upgraded connection to the URL, whatever is spoken on it. */
export function upgrade(
  url: string,
  headers: Record<string, string | string[]>,
  method = "POST",
): Promise<{ socket: Socket; head: Buffer; rawHeaders: string[] }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers, agent: false });
    outgoing.on("upgrade", (response, socket, head) => {
      socket.setNoDelay(true);
      resolve({ socket, head, rawHeaders: response.rawHeaders });
    });
    outgoing.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () =>
        reject(
          new Error(
            Buffer.concat(chunks).toString("utf8").trim() || `streaming server said ${response.statusCode}`,
          ),
        ),
      );
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
}

const synStream = 1;
const synReply = 2;
const rstStream = 3;
const ping = 6;
const goAway = 7;
const finFlag = 1;
/** Adler-32 of SPDY/3's header dictionary, which a zlib stream must name even if it makes no use of it. */
const dictionaryId = 0xe3c6a7c2;

export class SpdyConnection {
  #socket: Socket;
  #streams = new Map<number, SpdyStream & { ended: boolean }>();
  #nextId = 1;
  #firstBlock = true;
  #pending: Buffer = Buffer.alloc(0);
  #closed = false;
  /** The socket takes data again. */
  onDrain: () => void = () => undefined;
  /** The connection has ended. */
  onClose: () => void = () => undefined;

  constructor(socket: Socket, head: Buffer) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("drain", () => this.onDrain());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#onClosed());
    if (head.length > 0) this.#receive(head);
  }

  /** Opens a stream with these headers (names are sent in lower case). */
  open(headers: Record<string, string>): SpdyStream {
    const id = this.#nextId;
    this.#nextId += 2;
    const block = this.#headerBlock(headers);
    const payload = Buffer.alloc(10 + block.length);
    payload.writeUInt32BE(id, 0);
    payload.set(block, 10);
    this.#socket.write(controlFrame(synStream, 0, payload));
    const stream = {
      ended: false,
      write: (data: Uint8Array) => this.#writeData(id, data, 0),
      end: () => void this.#writeData(id, new Uint8Array(0), finFlag),
      onData: () => undefined,
      onEnd: () => undefined,
    };
    this.#streams.set(id, stream);
    return stream;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.destroy();
  }

  #writeData(id: number, data: Uint8Array, flags: number): boolean {
    if (this.#closed) return true;
    const header = Buffer.alloc(8);
    header.writeUInt32BE(id, 0);
    header.writeUInt32BE(((flags << 24) | data.length) >>> 0, 4);
    this.#socket.write(header);
    return data.length === 0 ? true : this.#socket.write(data);
  }

  #headerBlock(headers: Record<string, string>): Buffer {
    const parts: Buffer[] = [number32(Object.keys(headers).length)];
    for (const [name, value] of Object.entries(headers))
      for (const text of [name.toLowerCase(), value])
        parts.push(number32(Buffer.byteLength(text)), Buffer.from(text));
    const plain = Buffer.concat(parts);
    const stored = Buffer.alloc(5);
    stored.writeUInt16LE(plain.length, 1);
    stored.writeUInt16LE(~plain.length & 0xffff, 3);
    // An empty stored block flushes, so that the peer can read to here.
    const flush = Buffer.from([0, 0, 0, 0xff, 0xff]);
    const zlibHeader = this.#firstBlock
      ? Buffer.concat([Buffer.from([0x78, 0x20]), number32(dictionaryId)])
      : Buffer.alloc(0);
    this.#firstBlock = false;
    return Buffer.concat([zlibHeader, stored, plain, flush]);
  }

  #receive(chunk: Buffer): void {
    let data = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    while (data.length >= 8) {
      const length = data.readUInt32BE(4) & 0xffffff;
      if (data.length < 8 + length) break;
      this.#frame(data.readUInt32BE(0), data[4]!, data.subarray(8, 8 + length));
      data = data.subarray(8 + length);
    }
    this.#pending = data;
  }

  #frame(first: number, flags: number, payload: Buffer): void {
    if (first >>> 31 === 0) {
      const stream = this.#streams.get(first);
      if (payload.length > 0) stream?.onData(payload);
      if (flags & finFlag) this.#endStream(first);
      return;
    }
    const type = first & 0xffff;
    if (type === synReply) {
      if (flags & finFlag) this.#endStream(payload.readUInt32BE(0) & 0x7fffffff);
    } else if (type === rstStream) this.#endStream(payload.readUInt32BE(0) & 0x7fffffff);
    else if (type === ping) this.#socket.write(controlFrame(ping, 0, Buffer.from(payload)));
    else if (type === goAway) this.#socket.end();
  }

  #endStream(id: number): void {
    const stream = this.#streams.get(id);
    if (!stream || stream.ended) return;
    stream.ended = true;
    stream.onEnd();
  }

  #onClosed(): void {
    this.#closed = true;
    for (const id of this.#streams.keys()) this.#endStream(id);
    this.onClose();
  }
}

function controlFrame(type: number, flags: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(0x8003, 0);
  header.writeUInt16BE(type, 2);
  header.writeUInt32BE(((flags << 24) | payload.length) >>> 0, 4);
  return Buffer.concat([header, payload]);
}

function number32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(value, 0);
  return buffer;
}
