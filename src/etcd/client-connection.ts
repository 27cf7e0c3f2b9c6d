/**
 * Calls to an etcd cluster: one endpoint at a time, the next one when it can't be reached. Every call has a
 * deadline, and their number is bounded. It knows messages as data only.
 */
import { isIP } from "node:net";
import { checkServerIdentity } from "node:tls";
import type { PeerCertificate } from "node:tls";
import * as grpc from "@grpc/grpc-js";
import { StatusError } from "#base/errors.ts";
import { clientError, failureReason, isNotSent, unreachableError } from "./client-errors.ts";
import { loadServices } from "./definitions.ts";

export interface ClientTls {
  /** PEM; absent: the system's authorities. */
  ca?: string;
  cert?: string;
  key?: string;
}

/** "read": may be repeated. "write": an answer that is lost leaves its outcome unknown. */
export type CallKind = "read" | "write";
type Services = ReturnType<typeof loadServices>;

const timeoutMs = 10_000;
const maxCalls = 8192;
/** Sent in the handshake to a server that is known by its address only. */
const nameOfAddresses = "etcd";

export class EtcdConnection {
  /** http(s)://HOST:PORT, as its owner named them. */
  readonly endpoints: readonly string[];
  readonly #tls: ClientTls;
  readonly #clients: grpc.Client[];
  /** Further members, by address, that are only asked how they are. */
  readonly #others = new Map<string, grpc.Client>();
  readonly #services: Services = loadServices();
  #at = 0;
  #calls = 0;
  #closed = false;

  /** `endpoints`: http(s)://HOST:PORT. */
  constructor(endpoints: string[], tls: ClientTls) {
    if (endpoints.length === 0) throw new Error("an etcd cluster has at least one endpoint");
    this.endpoints = endpoints;
    this.#tls = tls;
    this.#clients = endpoints.map((endpoint) => openClient(endpoint, tls));
  }

  /** One answer. Rejects with the StatusErrors that `Backend` names. */
  async call<T>(service: keyof Services, method: string, request: object, kind: CallKind): Promise<T> {
    if (this.#calls >= maxCalls)
      throw new StatusError("TooManyRequests", "etcdserver: too many requests", {
        details: { retryAfterSeconds: 1 },
      });
    const deadline = Date.now() + timeoutMs;
    const silent = new Map<string, string>();
    this.#calls++;
    try {
      for (let tries = 1; ; tries++) {
        if (this.#closed) throw closedError();
        const at = this.#at;
        try {
          return await this.#once<T>(this.#client(), service, method, request, deadline);
        } catch (error) {
          const failure = error as grpc.ServiceError;
          const again = failure.code === grpc.status.UNAVAILABLE && (kind === "read" || isNotSent(failure));
          if (failure.code === grpc.status.UNAVAILABLE) {
            silent.set(this.endpoints[at] ?? "", failureReason(failure.details));
            this.#leave(at);
          }
          if (again && tries <= 2 * this.#clients.length && Date.now() <= deadline) {
            if (tries >= this.#clients.length) await delay(Math.min(50 * tries, 500));
            continue;
          }
          throw again ? unreachableError(silent, failure) : clientError(failure, kind);
        }
      }
    } finally {
      this.#calls--;
    }
  }

  /** One question to one member, once. Rejects with an Error whose message is the reason alone. */
  async ask<T>(url: string, service: keyof Services, method: string, answerMs: number): Promise<T> {
    if (this.#closed) throw closedError();
    const at = this.endpoints.indexOf(url);
    const client = this.#clients[at] ?? this.#others.get(url) ?? openClient(url, this.#tls);
    if (at < 0) this.#others.set(url, client);
    try {
      return await this.#once<T>(client, service, method, {}, Date.now() + answerMs);
    } catch (error) {
      throw new Error(failureReason((error as grpc.ServiceError).details), { cause: error });
    }
  }

  /** A stream both ways, to the present endpoint; a member that has lost its leader ends it. Its errors are for the caller, who may call `leave`. */
  stream(service: keyof Services, method: string): grpc.ClientDuplexStream<object, unknown> {
    if (this.#closed) throw closedError();
    const { path, requestSerialize, responseDeserialize } = this.#method(service, method);
    const requireLeader = new grpc.Metadata();
    requireLeader.set("hasleader", "true");
    return this.#client().makeBidiStreamRequest(path, requestSerialize, responseDeserialize, requireLeader);
  }

  /** The present endpoint has failed a stream. */
  leave(): void {
    this.#leave(this.#at);
  }

  close(): void {
    this.#closed = true;
    for (const client of [...this.#clients, ...this.#others.values()]) client.close();
  }

  #once<T>(
    client: grpc.Client,
    service: keyof Services,
    name: string,
    request: object,
    deadline: number,
  ): Promise<T> {
    const { path, requestSerialize, responseDeserialize } = this.#method(service, name);
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        new grpc.Metadata(),
        { deadline },
        (error, answer) => (error === null ? resolve(answer as T) : reject(error)),
      );
    });
  }

  #client(): grpc.Client {
    return this.#clients[this.#at] as grpc.Client;
  }

  #method(service: keyof Services, name: string): grpc.MethodDefinition<object, unknown> {
    return this.#services[service][name] as grpc.MethodDefinition<object, unknown>;
  }

  #leave(at: number): void {
    if (at === this.#at) this.#at = (at + 1) % this.#clients.length;
  }
}

function openClient(endpoint: string, tls: ClientTls): grpc.Client {
  const url = new URL(endpoint);
  return new grpc.Client(`${url.hostname}:${url.port === "" ? "2379" : url.port}`, credentials(url, tls), {
    // Not more often than etcd allows by default.
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 4000,
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    ...(isIP(hostOf(url)) === 0 ? {} : { "grpc.ssl_target_name_override": nameOfAddresses }),
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2000,
  });
}

/** The library sends the host as the name that it expects, which an address can't be: the check is made here then. */
function credentials(url: URL, tls: ClientTls): grpc.ChannelCredentials {
  if (url.protocol === "http:") return grpc.credentials.createInsecure();
  const pem = (text: string | undefined): Buffer | null => (text === undefined ? null : Buffer.from(text));
  const host = hostOf(url);
  return grpc.credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.cert), {
    checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate as PeerCertificate),
  });
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, "$1");
}

function closedError(): StatusError {
  return new StatusError("ServiceUnavailable", "the datastore has been closed");
}

function delay(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, delayMs);
  });
}
