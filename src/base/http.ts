/**
 * HTTP as data: what the API server's core takes and gives, and what clients send. The API's listener
 * turns sockets into these; an in-process client calls the same handler without a socket.
 */

export interface HttpUser {
  name: string;
  groups: readonly string[];
  uid?: string;
  extra?: Readonly<Record<string, readonly string[]>>;
}

export interface HttpRequest {
  method: string;
  /** Percent-encoded path without the query. */
  path: string;
  /** Query string without "?", percent-encoded. */
  query: string;
  /** Lower-case names. */
  headers: Readonly<Record<string, string>>;
  body: Uint8Array;
  /** Aborts when the client goes away. */
  signal: AbortSignal;
  /** Set by an in-process caller: already authenticated. A network listener never sets it from the wire. */
  user?: HttpUser;
}

export interface HttpResponse {
  status: number;
  headers: Record<string, string | string[]>;
  /** Whole, or a stream (watches, logs) that ends with the response. */
  body: Uint8Array | AsyncIterable<Uint8Array>;
}

export type HttpHandler = (request: HttpRequest) => Promise<HttpResponse>;

/** A subtree of the server's paths beside the Kubernetes API, on the same port. */
export interface HttpRoute {
  /** Of two routes that match a path, the longer prefix wins. */
  prefix: string;
  /** Gets `request.user`, the anonymous user for callers without credentials. */
  handler: HttpHandler;
  /**
   * True: only callers whom the authorizer allows the path (RBAC's nonResourceURLs) reach the handler.
   * Default false: the handler decides itself who may do what.
   */
  authorize?: boolean;
}
