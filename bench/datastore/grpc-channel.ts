/**
 * gRPC calls straight on Node's HTTP/2, over mutual TLS. The gRPC library spends so much of a processor on each call
 * that a benchmark with it in the client would measure the client.
 */
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { connect, constants } from "node:http2";
import type { KeyAndCertificate } from "#cluster/certificates.ts";

export interface Credentials extends KeyAndCertificate {
  /** Certificate of the authority, PEM. */
  authority: string;
}

const callTimeoutMs = 10_000;
const windowBytes = 4 << 20;
const prefixBytes = 5;

export class GrpcChannel {
  readonly #url: string;
  readonly #credentials: Credentials;
  #session: ClientHttp2Session | undefined;

  constructor(port: number, credentials: Credentials) {
    this.#url = `https://127.0.0.1:${port}`;
    this.#credentials = credentials;
  }

  /** The answer's message. Rejects with the text of the status when that is not OK, or after 10 s. */
  call(path: string, message: Uint8Array): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      let answer: Buffer | undefined;
      const stream = this.#open(path, (body) => (answer = body), reject);
      stream.setTimeout(callTimeoutMs, () => {
        reject(new Error("the call has timed out"));
        stream.close(constants.NGHTTP2_CANCEL);
      });
      stream.on("close", () => {
        if (answer === undefined) reject(new Error("the call ended without an answer"));
        else resolve(answer);
      });
      stream.end(framed(message));
    });
  }

  /** A stream both ways. `onEnd` is called once; undefined: it was cancelled. */
  stream(
    path: string,
    onMessage: (message: Buffer) => void,
    onEnd: (error?: Error) => void,
  ): { send(message: Uint8Array): void; cancel(): void } {
    let failure: Error | undefined;
    let cancelled = false;
    const stream = this.#open(path, onMessage, (error) => (failure = error));
    stream.on("close", () => onEnd(cancelled ? undefined : (failure ?? new Error("the stream has ended"))));
    return {
      send: (message) => void stream.write(framed(message)),
      cancel() {
        cancelled = true;
        stream.close(constants.NGHTTP2_CANCEL);
      },
    };
  }

  close(): void {
    this.#session?.destroy();
  }

  #open(
    path: string,
    onMessage: (message: Buffer) => void,
    onError: (error: Error) => void,
  ): ClientHttp2Stream {
    const stream = this.#connected().request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
    });
    let buffer: Buffer = Buffer.alloc(0);
    stream.on("data", (chunk: Buffer) => {
      buffer = buffer.length === 0 ? chunk : Buffer.concat([buffer, chunk]);
      while (buffer.length >= prefixBytes) {
        const end = prefixBytes + buffer.readUInt32BE(1);
        if (buffer.length < end) return;
        onMessage(buffer.subarray(prefixBytes, end));
        buffer = buffer.subarray(end);
      }
    });
    const look = (headers: IncomingHttpHeaders) => {
      const { "grpc-status": status, "grpc-message": message } = headers;
      if (status !== undefined && status !== "0")
        onError(new Error(`${String(message)} (${String(status)})`));
    };
    stream.on("response", look);
    stream.on("trailers", look);
    stream.on("error", onError);
    return stream;
  }

  /** The connection, or a new one in the place of one that is gone. */
  #connected(): ClientHttp2Session {
    if (this.#session !== undefined && !this.#session.closed && !this.#session.destroyed)
      return this.#session;
    const { authority, certificate, key } = this.#credentials;
    const session = connect(this.#url, {
      ca: authority,
      cert: certificate,
      key,
      settings: { initialWindowSize: windowBytes },
    });
    session.once("connect", () => session.setLocalWindowSize(windowBytes));
    // Each of its streams hears of it too.
    session.on("error", () => undefined);
    this.#session = session;
    return session;
  }
}

/** Not compressed, and how long it is. */
function framed(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(prefixBytes + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, prefixBytes);
  return frame;
}
