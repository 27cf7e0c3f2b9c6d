/**
 * A client that writes all the time: one ConfigMap after another through whichever API server answers,
 * remembering every acknowledgement. At the end every acknowledged write must be there.
 */
import assert from "node:assert/strict";
import { createClient } from "#client/client.ts";
import { httpsTransport } from "#client/https-transport.ts";
import type { HttpsTransport } from "#client/https-transport.ts";
import { readKubeconfig } from "#client/kubeconfig.ts";
import type { Client, ResourceName } from "#client/types.ts";
import type { KubeObject } from "#kinds/object.ts";

const configMaps: ResourceName = { group: "", version: "v1", plural: "configmaps" };
const pauseMs = 20;

export class Writer {
  readonly #clients: { client: Client; transport: HttpsTransport }[];
  readonly #name: string;
  readonly #acknowledged: { name: string; atMs: number }[] = [];
  #stopped = false;
  #done: Promise<void> | undefined;
  #lastError = "";

  /** `endpoints`: host:port of the API servers; the kubeconfig gives the credentials. */
  constructor(name: string, kubeconfig: string, endpoints: string[]) {
    this.#name = name;
    const { transport } = readKubeconfig(kubeconfig);
    this.#clients = endpoints.map((endpoint) => {
      const connection = httpsTransport({
        ...transport,
        endpoints: [endpoint],
        connectTimeoutMs: 500,
        pingIntervalMs: 500,
      });
      return {
        client: createClient({ transport: connection.handler, userAgent: "e2e-writer" }),
        transport: connection,
      };
    });
  }

  start(): this {
    this.#done = this.#loop();
    return this;
  }

  /** The longest time without an acknowledged write in [fromMs, toMs] (milliseconds since the epoch). */
  longestGapMs(fromMs: number, toMs = Date.now()): number {
    const times = [
      fromMs,
      ...this.#acknowledged.map((each) => each.atMs).filter((at) => at > fromMs && at < toMs),
      toMs,
    ];
    return Math.max(...times.slice(1).map((at, index) => at - (times[index] ?? at)));
  }

  get count(): number {
    return this.#acknowledged.length;
  }

  get lastError(): string {
    return this.#lastError;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
    await Promise.all(this.#clients.map((each) => each.transport.close()));
  }

  /** Stops writing and checks every acknowledged write with the client given. */
  async stopAndVerify(verifier: { kubeconfig: string; endpoint: string }): Promise<number> {
    await this.stop();
    const { transport } = readKubeconfig(verifier.kubeconfig);
    const connection = httpsTransport({ ...transport, endpoints: [verifier.endpoint] });
    try {
      const client = createClient({ transport: connection.handler, userAgent: "e2e-writer" });
      const { items } = await client.list<KubeObject>(configMaps, {
        namespace: "default",
        labelSelector: `writer=${this.#name}`,
      });
      const present = new Set(items.map((each) => each.metadata.name));
      const lost = this.#acknowledged.filter((each) => !present.has(each.name));
      assert.deepEqual(lost, [], "every acknowledged write is there");
    } finally {
      await connection.close();
    }
    return this.#acknowledged.length;
  }

  async #loop(): Promise<void> {
    for (let number = 0; !this.#stopped; number++) {
      const name = `${this.#name}-${number}`;
      await this.#write(name, number);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  /** Tries the servers in turn until one acknowledges; each attempt is short, so that a dead server costs little. */
  async #write(name: string, number: number): Promise<void> {
    const object: KubeObject = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, namespace: "default", labels: { writer: this.#name } },
      data: { number: String(number) },
    };
    for (let attempt = number; !this.#stopped; attempt++) {
      const target = this.#clients[attempt % this.#clients.length];
      if (target === undefined) return;
      try {
        await Promise.race([
          target.client.create(configMaps, object),
          new Promise((_, reject) => setTimeout(() => reject(new Error("no answer within 1 s")), 1_000)),
        ]);
        this.#acknowledged.push({ name, atMs: Date.now() });
        return;
      } catch (error) {
        this.#lastError = (error as Error).message;
        // An attempt without an answer may have been carried out after all.
        if (/already exists/.test(this.#lastError)) {
          this.#acknowledged.push({ name, atMs: Date.now() });
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
  }
}
