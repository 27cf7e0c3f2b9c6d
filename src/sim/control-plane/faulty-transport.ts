/**
 * The way between a manager and the API: it takes time, refuses, forgets answers, and ends or stalls watches.
 * Nothing here decides when; the adversary sets the rates.
 */

import { StatusError } from "#base/errors.ts";
import type { HttpHandler, HttpRequest, HttpResponse } from "#base/http.ts";
import type { SeededRandom } from "../seeded-random.ts";
import type { SimulatedClock } from "./simulated-clock.ts";
import { WatchPipe } from "./watch-pipe.ts";

export interface TransportRates {
  /** Of all requests: refused before they reach the API (503). */
  refused: number;
  /** Of updates: refused as if somebody else had been faster (409). */
  conflict: number;
  /** Of writes: carried out, but the answer is lost until the caller's deadline. */
  lostAnswer: number;
  /** Of watches that begin: their version is too old (410). */
  expired: number;
  latencyMs: number;
}

export const perfect: TransportRates = { refused: 0, conflict: 0, lostAnswer: 0, expired: 0, latencyMs: 2 };

export interface TransportOptions {
  api: HttpHandler;
  clock: SimulatedClock;
  random: SeededRandom;
  /** Told of each request that is carried out while its caller will never know. */
  onLostAnswer: (request: HttpRequest) => void;
  trace: (line: string) => void;
}

const encoder = new TextEncoder();

export class FaultyTransport {
  readonly #options: TransportOptions;
  readonly watches = new Set<WatchPipe>();
  rates: TransportRates = perfect;
  /** The process is dead: nothing gets out or comes back. */
  dead = false;
  requests = 0;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  readonly handler: HttpHandler = async (request) => {
    const { api, clock, random, trace } = this.#options;
    this.requests++;
    await clock.sleep(this.#latencyMs());
    if (this.dead) return never();
    const { rates } = this;
    const isWatch = request.query.includes("watch=1");
    if (random.chance(rates.refused)) return refusal(503, "ServiceUnavailable", "simulated: not now");
    if (isWatch) {
      if (random.chance(rates.expired)) return refusal(410, "Expired", "simulated: too old resource version");
      return await this.#watch(request);
    }
    const isWrite = request.method !== "GET";
    const isEvent = request.path.endsWith("/events");
    if (request.method === "PUT" && random.chance(rates.conflict))
      return refusal(409, "Conflict", "simulated: the object has been modified");
    if (isWrite && !isEvent && random.chance(rates.lostAnswer)) {
      trace(`answer lost: ${request.method} ${request.path}`);
      const response = await api({ ...request, signal: new AbortController().signal });
      if (response.status < 300) this.#options.onLostAnswer(request);
      return never();
    }
    const response = await api(request);
    await clock.sleep(this.#latencyMs());
    return this.dead ? never() : response;
  };

  kill(): void {
    this.dead = true;
    for (const watch of this.watches) watch.abandon();
    this.watches.clear();
  }

  async #watch(request: HttpRequest): Promise<HttpResponse> {
    const upstream = new AbortController();
    const response = await this.#options.api({ ...request, signal: upstream.signal });
    if (response.status !== 200 || response.body instanceof Uint8Array) return response;
    const pipe = new WatchPipe(request.path, this.#options.clock, () => {
      upstream.abort();
      this.watches.delete(pipe);
    });
    if (request.signal.aborted) pipe.abandon();
    else request.signal.addEventListener("abort", () => pipe.abandon(), { once: true });
    this.watches.add(pipe);
    void pipe.follow(response.body);
    return { ...response, body: pipe };
  }

  #latencyMs(): number {
    const { random } = this.#options;
    const long = random.chance(0.02) ? 10 : 1;
    return this.rates.latencyMs * long * random.between(0.5, 1.5);
  }
}

function refusal(
  status: number,
  reason: "ServiceUnavailable" | "Conflict" | "Expired",
  message: string,
): HttpResponse {
  const { code } = new StatusError(reason, message);
  const body = { kind: "Status", apiVersion: "v1", status: "Failure", reason, message, code };
  return { status, headers: {}, body: encoder.encode(JSON.stringify(body)) };
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}
