/**
 * The endpoints of the `kubernetes` Service: the API servers of the members that are online, as the
 * datastore knows them, and this one. Every server writes the same, and only what has changed.
 */
import type { Backend } from "#base/backend.ts";
import type { HttpHandler, HttpResponse } from "#base/http.ts";
import type { Clock, Logger, Timer } from "#base/ports.ts";
import type { KubeObject } from "#kinds/object.ts";
import { serverUser } from "./bootstrap.ts";

const intervalMs = 5_000;

export interface ApiAddress {
  address: string;
  port: number;
}

export class KubernetesEndpoints {
  readonly #backend: Backend;
  readonly #handler: HttpHandler;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #own: ApiAddress;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: {
    backend: Backend;
    handler: HttpHandler;
    clock: Clock;
    logger: Logger;
    own: ApiAddress;
  }) {
    this.#backend = options.backend;
    this.#handler = options.handler;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#own = options.own;
  }

  start(): void {
    void this.#round();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  async #round(): Promise<void> {
    try {
      await this.#reconcile();
    } catch (error) {
      // Without a quorum nothing can be written; the next round tries again.
      this.#logger.debug("the endpoints of the kubernetes Service were not written", {
        error: String(error),
      });
    }
    if (!this.#closed) this.#timer = this.#clock.setTimer(intervalMs, () => void this.#round());
  }

  async #reconcile(): Promise<void> {
    const servers = await this.#servers();
    const addresses = servers.map((each) => each.address);
    const port = servers[0]?.port ?? this.#own.port;
    const ports = [{ name: "https", port, protocol: "TCP" }];
    await this.#write("/api/v1/namespaces/default/endpoints", {
      apiVersion: "v1",
      kind: "Endpoints",
      metadata: {
        name: "kubernetes",
        namespace: "default",
        labels: { "endpointslice.kubernetes.io/skip-mirror": "true" },
      },
      subsets: [{ addresses: addresses.map((ip) => ({ ip })), ports }],
    });
    await this.#write("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: "kubernetes",
        namespace: "default",
        labels: { "kubernetes.io/service-name": "kubernetes" },
      },
      addressType: "IPv4",
      endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
      ports,
    });
  }

  async #servers(): Promise<ApiAddress[]> {
    const { members } = await this.#backend.status();
    const online = members
      .filter((each) => each.online && each.apiAddress !== "")
      .map((each) => parse(each.apiAddress));
    const all = [this.#own, ...online];
    const unique = new Map(all.map((each) => [each.address, each]));
    return [...unique.values()].sort((left, right) => (left.address < right.address ? -1 : 1));
  }

  /** A PUT that changes nothing is not stored. */
  async #write(collection: string, object: KubeObject): Promise<void> {
    const name = object.metadata.name ?? "";
    const updated = await this.#send("PUT", `${collection}/${name}`, object);
    if (updated.status !== 404) return;
    await this.#send("POST", collection, object);
  }

  #send(method: string, path: string, object: KubeObject): Promise<HttpResponse> {
    return this.#handler({
      method,
      path,
      query: "fieldManager=kube-apiserver",
      headers: { "content-type": "application/json", accept: "application/json" },
      body: Buffer.from(JSON.stringify(object)),
      signal: new AbortController().signal,
      user: serverUser,
    });
  }
}

function parse(text: string): ApiAddress {
  const colon = text.lastIndexOf(":");
  return { address: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
}
