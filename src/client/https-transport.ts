/**
 * A transport over HTTP/2 to several API servers. One session at a time; when it can't be made, or its
 * server stops answering pings, the next endpoint is tried. A request that may have reached a server is
 * never repeated here unless it only reads. It knows nothing about Kubernetes objects.
 */
import * as http2 from "node:http2";
import type { Socket } from "node:net";
import { StatusError } from "#base/errors.ts";
import type { HttpHandler, HttpRequest, HttpResponse } from "#base/http.ts";

export interface HttpsTransportOptions {
  /** "https://host:port" or "host:port", in order of preference. Must not be empty. */
  endpoints: readonly string[] | (() => readonly string[]);
  /** PEM. Undefined: the system's roots. */
  ca?: string | Uint8Array;
  /** PEM, or functions for what is renewed: each new connection shows the present one. */
  cert?: string | Uint8Array | (() => string);
  key?: string | Uint8Array | (() => string);
  /** Bearer token, or a function for tokens that are renewed on disk. */
  token?: string | (() => string);
  /** Name that the server's certificate must have, where it isn't the endpoint's host. */
  serverName?: string;
  insecureSkipVerify?: boolean;
  connectTimeoutMs?: number;
  /** A session with open requests is pinged this often; it is given up when a ping stays unanswered as long. */
  pingIntervalMs?: number;
}

export interface HttpsTransport {
  handler: HttpHandler;
  /** The endpoint in use, for status. */
  current(): string | undefined;
  close(): Promise<void>;
}

export function httpsTransport(options: HttpsTransportOptions): HttpsTransport {
  const pool = new EndpointPool(options);
  return {
    handler: (request) => pool.handle(request),
    current: () => pool.current,
    close: () => pool.close(),
  };
}

class EndpointPool {
  readonly #options: HttpsTransportOptions;
  #session: Session | undefined;
  #connecting: Promise<Session> | undefined;
  #next = 0;
  #closed = false;

  constructor(options: HttpsTransportOptions) {
    this.#options = options;
  }

  get current(): string | undefined {
    return this.#session?.endpoint;
  }

  async handle(request: HttpRequest): Promise<HttpResponse> {
    const attempts = this.#endpoints().length + 1;
    for (let attempt = 1; ; attempt++) {
      const session = await this.#acquire();
      try {
        return await session.request(request, this.#token());
      } catch (error) {
        if (request.signal.aborted || attempt >= attempts) throw error;
        const repeatable = error instanceof NotSentError || request.method === "GET";
        if (!repeatable || error instanceof StatusError === false) throw error;
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#session?.destroy();
    await this.#connecting?.then(
      (session) => session.destroy(),
      () => undefined,
    );
  }

  #endpoints(): readonly string[] {
    const { endpoints } = this.#options;
    return typeof endpoints === "function" ? endpoints() : endpoints;
  }

  #token(): string | undefined {
    const { token } = this.#options;
    return typeof token === "function" ? token() : token;
  }

  async #acquire(): Promise<Session> {
    if (this.#closed) throw new StatusError("ServiceUnavailable", "the client is closed");
    if (this.#session?.usable === true) return this.#session;
    this.#connecting ??= this.#connectAny().finally(() => {
      this.#connecting = undefined;
    });
    return await this.#connecting;
  }

  async #connectAny(): Promise<Session> {
    const endpoints = this.#endpoints();
    const failures: string[] = [];
    for (let tried = 0; tried < endpoints.length; tried++) {
      const endpoint = endpoints[(this.#next + tried) % endpoints.length]!;
      try {
        const session = await connect(endpoint, this.#options);
        this.#next = (this.#next + tried) % endpoints.length;
        this.#session = session;
        session.onEnd(() => {
          // Whoever failed is tried last the next time.
          this.#next = (this.#next + 1) % Math.max(endpoints.length, 1);
        });
        return session;
      } catch (error) {
        failures.push(`${endpoint}: ${(error as Error).message}`);
      }
    }
    throw new NotSentError(`no API server can be reached: ${failures.join("; ")}`);
  }
}

/** The request surely did not reach a server. */
class NotSentError extends StatusError {
  constructor(message: string) {
    super("ServiceUnavailable", message);
  }
}

function connect(endpoint: string, options: HttpsTransportOptions): Promise<Session> {
  const url = endpoint.includes("://") ? endpoint : `https://${endpoint}`;
  const timeoutMs = options.connectTimeoutMs ?? 3000;
  return new Promise((resolve, reject) => {
    const session = http2.connect(url, {
      ...(options.ca === undefined ? {} : { ca: asPem(options.ca) }),
      ...(options.cert === undefined ? {} : { cert: asPem(options.cert) }),
      ...(options.key === undefined ? {} : { key: asPem(options.key) }),
      ...(options.serverName === undefined ? {} : { servername: options.serverName }),
      rejectUnauthorized: options.insecureSkipVerify !== true,
    });
    const timer = setTimeout(() => fail(new Error(`no connection within ${timeoutMs} ms`)), timeoutMs);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      session.destroy();
      reject(error);
    };
    session.once("error", fail);
    session.once("connect", (_session: http2.ClientHttp2Session, socket: Socket) => {
      clearTimeout(timer);
      session.off("error", fail);
      socket.setNoDelay(true);
      resolve(new Session(endpoint, session, options.pingIntervalMs ?? 3000));
    });
  });
}

function asPem(given: string | Uint8Array | (() => string)): string | Buffer {
  const value = typeof given === "function" ? given() : given;
  return typeof value === "string" ? value : Buffer.from(value);
}

/** One connection. Pings run only while requests are open, so an idle client costs nothing. */
class Session {
  readonly endpoint: string;
  readonly #session: http2.ClientHttp2Session;
  readonly #pingIntervalMs: number;
  readonly #onEnd: (() => void)[] = [];
  #open = 0;
  #pinger: ReturnType<typeof setInterval> | undefined;
  #ended = false;

  constructor(endpoint: string, session: http2.ClientHttp2Session, pingIntervalMs: number) {
    this.endpoint = endpoint;
    this.#session = session;
    this.#pingIntervalMs = pingIntervalMs;
    session.setMaxListeners(0);
    session.on("error", () => this.#end());
    session.on("close", () => this.#end());
    session.on("goaway", () => this.#end());
    session.unref();
  }

  get usable(): boolean {
    return !this.#ended && !this.#session.closed && !this.#session.destroyed;
  }

  onEnd(callback: () => void): void {
    this.#onEnd.push(callback);
  }

  destroy(): void {
    this.#session.destroy();
    this.#end();
  }

  request(request: HttpRequest, token: string | undefined): Promise<HttpResponse> {
    if (!this.usable) throw new NotSentError(`${this.endpoint}: the connection has ended`);
    const path = request.query === "" ? request.path : `${request.path}?${request.query}`;
    return new Promise((resolve, reject) => {
      const stream = this.#session.request(
        {
          ":method": request.method,
          ":path": path,
          ...request.headers,
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
        { endStream: request.body.length === 0 },
      );
      this.#opened();
      let answered = false;
      const onAbort = (): void => stream.close(http2.constants.NGHTTP2_CANCEL);
      request.signal.addEventListener("abort", onAbort, { once: true });
      if (request.signal.aborted) onAbort();
      stream.on("error", (error) => {
        if (!answered) reject(broken(this.endpoint, error));
      });
      stream.on("close", () => {
        request.signal.removeEventListener("abort", onAbort);
        this.#closedOne();
        if (answered) return;
        const refused = stream.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM;
        reject(
          refused
            ? new NotSentError(`${this.endpoint}: the server refused the stream`)
            : broken(this.endpoint, request.signal.reason),
        );
      });
      stream.on("response", (headers) => {
        answered = true;
        resolve({
          status: Number(headers[":status"]),
          headers: plainHeaders(headers),
          body: bodyOf(stream, this.endpoint),
        });
      });
      if (request.body.length > 0) stream.end(request.body);
    });
  }

  #opened(): void {
    this.#open++;
    this.#session.ref();
    this.#pinger ??= setInterval(() => this.#ping(), this.#pingIntervalMs);
  }

  #closedOne(): void {
    this.#open--;
    if (this.#open > 0) return;
    clearInterval(this.#pinger);
    this.#pinger = undefined;
    if (!this.#session.destroyed) this.#session.unref();
  }

  #ping(): void {
    if (!this.usable) return;
    const timer = setTimeout(() => this.#session.destroy(), this.#pingIntervalMs);
    const sent = this.#session.ping((error) => {
      clearTimeout(timer);
      if (error !== null && error !== undefined) this.#session.destroy();
    });
    if (!sent) clearTimeout(timer);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#pinger);
    for (const callback of this.#onEnd) callback();
  }
}

async function* bodyOf(stream: http2.ClientHttp2Stream, endpoint: string): AsyncGenerator<Uint8Array> {
  let ended = false;
  stream.once("end", () => {
    ended = true;
  });
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
  } catch (error) {
    throw broken(endpoint, error);
  } finally {
    if (!ended && !stream.closed) stream.close(http2.constants.NGHTTP2_CANCEL);
  }
  if (stream.rstCode > 0) throw broken(endpoint, new Error(`stream reset with code ${stream.rstCode}`));
}

function broken(endpoint: string, cause: unknown): StatusError {
  const why = cause instanceof Error ? cause.message : "the connection broke";
  return new StatusError("ServiceUnavailable", `${endpoint}: ${why}`, { cause });
}

function plainHeaders(headers: http2.IncomingHttpHeaders): Record<string, string | string[]> {
  const plain: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith(":") && value !== undefined) plain[name] = value;
  }
  return plain;
}
