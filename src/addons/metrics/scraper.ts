/**
 * Reads every node's /stats/summary in turns, through the API's connection to the agents, and keeps the
 * last two readings of each: all that metrics need. A node that doesn't answer is left out after a while.
 */
import type { Clock, Logger, Timer } from "#base/ports.ts";
import type { ApiClient, ResourceName } from "#client/types.ts";
import type { NodeMetricsObject } from "#kinds/node-metrics.ts";
import type { ObjectMeta } from "#kinds/object.ts";
import type { PodMetricsObject } from "#kinds/pod-metrics.ts";
import { nodeMetricsOf, podMetricsOf } from "./usage.ts";
import type { Reading, StatsSummary } from "./usage.ts";

const nodes: ResourceName = { group: "", version: "v1", plural: "nodes" };
const pods: ResourceName = { group: "", version: "v1", plural: "pods" };

/** Upstream's metrics-server has the same. */
const intervalMs = 15_000;
/** A rate needs two readings; the second comes soon. */
const secondReadingMs = 2_000;
/** Older readings say nothing of the present. */
const staleMs = 60_000;
const readingsAtOnceMax = 8;

export interface ScraperOptions {
  client: ApiClient;
  clock: Clock;
  logger: Logger;
}

export class Scraper {
  readonly #options: ScraperOptions;
  #readings = new Map<string, { before: Reading | undefined; now: Reading }>();
  #nodes = new Map<string, ObjectMeta>();
  #pods = new Map<string, ObjectMeta>();
  readonly #silent = new Set<string>();
  #timer: Timer | undefined;
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: ScraperOptions) {
    this.#options = options;
    this.#begin();
  }

  nodeMetrics(): NodeMetricsObject[] {
    return this.#pairs().flatMap(({ name, before, now }) => {
      const metadata = this.#nodes.get(name);
      const metrics = metadata === undefined ? undefined : nodeMetricsOf(metadata, before, now);
      return metrics === undefined ? [] : [metrics];
    });
  }

  /** Of one namespace, or of all with "". */
  podMetrics(namespace: string): PodMetricsObject[] {
    const metadata = (uid: string): ObjectMeta | undefined => {
      const known = this.#pods.get(uid);
      return namespace === "" || known?.namespace === namespace ? known : undefined;
    };
    return this.#pairs().flatMap(({ before, now }) => podMetricsOf(metadata, before, now));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#turn;
  }

  #pairs(): { name: string; before: Reading; now: Reading }[] {
    const oldestMs = this.#options.clock.monotonicMs() - staleMs;
    return [...this.#readings].flatMap(([name, { before, now }]) =>
      before === undefined || now.monotonicMs < oldestMs ? [] : [{ name, before, now }],
    );
  }

  #begin(): void {
    this.#turn = this.#read().then(
      () => this.#next(this.#pairs().length === 0 ? secondReadingMs : intervalMs),
      (error: unknown) => {
        this.#options.logger.warn("metrics can't be read", { error: String(error) });
        this.#next(intervalMs);
      },
    );
  }

  #next(delayMs: number): void {
    if (!this.#closed) this.#timer = this.#options.clock.setTimer(delayMs, () => this.#begin());
  }

  async #read(): Promise<void> {
    const { client } = this.#options;
    const [nodeList, podList] = await Promise.all([client.list(nodes), client.list(pods)]);
    this.#nodes = new Map(nodeList.items.map(({ metadata }) => [metadata.name ?? "", essence(metadata)]));
    this.#pods = new Map(podList.items.map(({ metadata }) => [metadata.uid ?? "", essence(metadata)]));
    for (const name of this.#readings.keys()) if (!this.#nodes.has(name)) this.#readings.delete(name);
    const names = [...this.#nodes.keys()];
    const readers = Array.from({ length: Math.min(readingsAtOnceMax, names.length) }, async () => {
      for (let name = names.pop(); name !== undefined; name = names.pop()) await this.#readNode(name);
    });
    await Promise.all(readers);
  }

  async #readNode(name: string): Promise<void> {
    const { client, clock, logger } = this.#options;
    try {
      const path = `/api/v1/nodes/${encodeURIComponent(name)}/proxy/stats/summary`;
      const summary = (await client.getPath(path)) as StatsSummary;
      const now = { summary, timeMs: clock.nowMs(), monotonicMs: clock.monotonicMs() };
      this.#readings.set(name, { before: this.#readings.get(name)?.now, now });
      this.#silent.delete(name);
    } catch (error) {
      // Said once: the node's own state says the rest.
      if (!this.#silent.has(name))
        logger.warn("a node gives no metrics", { node: name, error: String(error) });
      this.#silent.add(name);
    }
  }
}

/** What metrics show of an object; the rest need not stay in memory. */
function essence({ name, namespace, labels }: ObjectMeta): ObjectMeta {
  return {
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(labels === undefined ? {} : { labels }),
  };
}
