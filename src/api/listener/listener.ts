/**
 * The network side: one TLS port for HTTP/2 (by the stream API, which is much cheaper than the
 * compatibility API) and HTTP/1.1 (for WebSocket and SPDY upgrades). It turns sockets into
 * HttpRequests and client certificates into users, and knows nothing of Kubernetes's resources.
 */
import http from "node:http";
import http2 from "node:http2";
import tls from "node:tls";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex, Writable } from "node:stream";
import type { HttpRequest, HttpResponse, HttpUser } from "#base/http.ts";
import { FatalError } from "#base/errors.ts";
import { ByteStream } from "../cache/byte-stream.ts";
import type { Peer } from "../auth/authenticate.ts";
import type { ListenOptions } from "../options.ts";
import { badRequest, methodNotAllowedOnPath } from "../status.ts";
import { maxBodyBytes } from "../wire/body.ts";

export interface ListenerHandlers {
  handle(request: HttpRequest, peer: Peer): Promise<HttpResponse>;
  /** An HTTP/1.1 request that wants to leave HTTP. The handler owns the socket from then on. */
  upgrade(request: HttpRequest, peer: Peer, socket: Socket, head: Buffer): void;
}

export interface Listener {
  address: { host: string; port: number };
  /** Uses a renewed certificate for connections from now on. */
  setCertificate(cert: string, key: string): void;
  close(): Promise<void>;
}

/** Why a request's signal aborts. One for all: every stream closes, and an error of its own is dear. */
const clientGone = new Error("the client has gone away");
const hopHeaders = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade"]);

export async function listen(options: ListenOptions, handlers: ListenerHandlers): Promise<Listener> {
  const http2Server = http2.createServer({
    settings: { maxConcurrentStreams: 1000, initialWindowSize: 1024 * 1024 },
    maxSessionMemory: 64,
  });
  const sockets = new Set<tls.TLSSocket>();
  const sessions = new Set<http2.Http2Session>();
  http2Server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.on("error", () => session.destroy());
  });
  http2Server.on("stream", (stream, headers, flags) => {
    serveStream(stream as http2.ServerHttp2Stream, headers, flags, handlers);
  });
  const http1Server = http.createServer(
    { keepAliveTimeout: 120_000, requestTimeout: 0 },
    (request, response) => {
      serveHttp1(request, response, handlers);
    },
  );
  http1Server.on("clientError", answerBrokenHttp1);
  http1Server.on("upgrade", (request: http.IncomingMessage, socket: Socket, head: Buffer) => {
    const abort = new AbortController();
    socket.on("close", () => abort.abort(clientGone));
    socket.on("error", () => socket.destroy());
    handlers.upgrade(toRequest(request, new Uint8Array(), abort.signal), peerOf(socket), socket, head);
  });
  const server = tls.createServer({
    cert: options.cert,
    key: options.key,
    ca: options.clientCa,
    requestCert: true,
    rejectUnauthorized: false,
    ALPNProtocols: ["h2", "http/1.1"],
    minVersion: "TLSv1.2",
  });
  server.on("secureConnection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.setNoDelay(true);
    if (socket.alpnProtocol === "h2") http2Server.emit("connection", socket);
    else http1Server.emit("connection", socket);
  });
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const taken = error.code === "EADDRINUSE";
      reject(
        taken
          ? new FatalError(
              "portTaken",
              `port ${options.port} on ${options.host} is in use; choose another with --port`,
              {
                cause: error,
              },
            )
          : error,
      );
    });
    server.listen(options.port, options.host, resolve);
  });
  const address = server.address() as AddressInfo;
  return {
    address: { host: address.address, port: address.port },
    setCertificate(cert, key) {
      server.setSecureContext({ cert, key, ca: options.clientCa });
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
      http1Server.closeAllConnections();
      await closed;
    },
  };
}

/** What the parser could not read: an unknown method is a method that is not allowed, all else a bad request. */
function answerBrokenHttp1(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const status =
    error.code === "HPE_INVALID_METHOD" ? methodNotAllowedOnPath() : badRequest("malformed request");
  const body = `${JSON.stringify(status.toStatus())}\n`;
  const head = [
    `HTTP/1.1 ${status.code} ${http.STATUS_CODES[status.code] ?? ""}`,
    "Content-Type: application/json",
    "Cache-Control: no-cache, private",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "Connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

function peerOf(socket: unknown): Peer {
  if (socket === undefined || socket === null) return { certificateUser: undefined };
  const tlsSocket = socket as tls.TLSSocket & { trivetUser?: HttpUser | null };
  if (tlsSocket.trivetUser === undefined) tlsSocket.trivetUser = certificateUser(tlsSocket) ?? null;
  return { certificateUser: tlsSocket.trivetUser ?? undefined };
}

/** CN is the name, every O a group. Only for certificates that the client authority has signed. */
function certificateUser(socket: tls.TLSSocket): HttpUser | undefined {
  if (typeof socket.getPeerCertificate !== "function" || !socket.authorized) return undefined;
  const { subject, fingerprint256 } = socket.getPeerCertificate();
  // oxlint-disable-next-line typescript/no-unnecessary-condition -- an empty object without a certificate
  const name = subject?.CN;
  if (typeof name !== "string" || name === "") return undefined;
  const organizations = subject.O as string | string[] | undefined;
  const groups =
    organizations === undefined ? [] : Array.isArray(organizations) ? organizations : [organizations];
  const digest = fingerprint256.replaceAll(":", "").toLowerCase();
  return {
    name,
    groups,
    extra: { "authentication.kubernetes.io/credential-id": [`X509SHA256=${digest}`] },
  };
}

function serveStream(
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  flags: number,
  handlers: ListenerHandlers,
): void {
  const abort = new AbortController();
  stream.on("error", () => abort.abort(clientGone));
  stream.on("close", () => abort.abort(clientGone));
  const target = headers[":path"] ?? "/";
  const question = target.indexOf("?");
  const request: HttpRequest = {
    method: headers[":method"] ?? "GET",
    path: question < 0 ? target : target.slice(0, question),
    query: question < 0 ? "" : target.slice(question + 1),
    headers: plainHeaders(headers),
    body: new Uint8Array(),
    signal: abort.signal,
  };
  const peer = peerOf(stream.session?.socket);
  const endStreamFlag = 0x1;
  const answer = (): void => {
    handlers.handle(request, peer).then(
      (response) => respondStream(stream, request.method, response),
      () => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR),
    );
  };
  if ((flags & endStreamFlag) !== 0) answer();
  else
    collectBody(stream, (body) => {
      request.body = body;
      answer();
    });
}

function collectBody(stream: NodeJS.ReadableStream, done: (body: Uint8Array) => void): void {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on("data", (chunk: Buffer) => {
    size += chunk.length;
    // One byte more than allowed is enough to know that it is too much; the rest is let go.
    if (size <= maxBodyBytes + 1024) chunks.push(chunk);
    else if (chunks.length > 0 && size - chunk.length <= maxBodyBytes + 1024) chunks.push(chunk);
  });
  stream.on("end", () => done(chunks.length === 1 ? (chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(chunks)));
}

function plainHeaders(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Record<string, string> {
  const plain: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || value === undefined) continue;
    plain[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return plain;
}

function respondStream(stream: http2.ServerHttp2Stream, method: string, response: HttpResponse): void {
  if (stream.destroyed || stream.closed) {
    if (response.body instanceof ByteStream) response.body.abandon();
    return;
  }
  const headers: http2.OutgoingHttpHeaders = { ":status": response.status, ...response.headers };
  const { body } = response;
  if (body instanceof Uint8Array) {
    headers["content-length"] = body.byteLength;
    if (method === "HEAD" || body.byteLength === 0) stream.respond(headers, { endStream: true });
    else {
      stream.respond(headers);
      stream.end(body);
    }
    return;
  }
  stream.respond(headers);
  if (body instanceof ByteStream) {
    stream.on("close", () => body.abandon());
    body.attach({
      write: (chunk) => void stream.write(chunk),
      end: () => stream.end(),
      bufferedBytes: () => stream.writableLength,
    });
    return;
  }
  void pump(body, stream);
}

/** Ends the source too when the client goes away: it may hold a snapshot or a connection to a node's agent. */
async function pump(body: AsyncIterable<Uint8Array>, out: Writable): Promise<void> {
  try {
    for await (const chunk of body) {
      if (out.destroyed) return;
      if (!out.write(chunk)) await drained(out);
    }
    out.end();
  } catch {
    // The source broke in the middle of an answer: the client must see that it is not complete.
    out.destroy();
  }
}

function drained(out: Writable): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      out.off("drain", go);
      out.off("close", go);
      resolve();
    };
    out.on("drain", go);
    out.on("close", go);
  });
}

function serveHttp1(
  message: http.IncomingMessage,
  response: http.ServerResponse,
  handlers: ListenerHandlers,
): void {
  const abort = new AbortController();
  response.on("close", () => abort.abort(clientGone));
  collectBody(message, (body) => {
    const request = toRequest(message, body, abort.signal);
    handlers.handle(request, peerOf(message.socket)).then(
      (answer) => respondHttp1(response, request.method, answer),
      () => response.destroy(),
    );
  });
}

function toRequest(message: http.IncomingMessage, body: Uint8Array, signal: AbortSignal): HttpRequest {
  const target = message.url ?? "/";
  const question = target.indexOf("?");
  return {
    method: message.method ?? "GET",
    path: question < 0 ? target : target.slice(0, question),
    query: question < 0 ? "" : target.slice(question + 1),
    headers: plainHeaders(message.headers),
    body,
    signal,
  };
}

function respondHttp1(response: http.ServerResponse, method: string, answer: HttpResponse): void {
  const { body } = answer;
  const headers = Object.fromEntries(
    Object.entries(answer.headers).filter(([name]) => !hopHeaders.has(name)),
  );
  if (body instanceof Uint8Array) {
    response.writeHead(answer.status, { ...headers, "content-length": body.byteLength });
    if (method === "HEAD") response.end();
    else response.end(body);
    return;
  }
  response.writeHead(answer.status, headers);
  response.flushHeaders();
  if (body instanceof ByteStream) {
    response.on("close", () => body.abandon());
    body.attach({
      write: (chunk) => void response.write(chunk),
      end: () => response.end(),
      bufferedBytes: () => response.writableLength,
    });
    return;
  }
  void pump(body, response);
}
