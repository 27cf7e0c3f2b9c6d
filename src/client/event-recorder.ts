/**
 * Records Kubernetes events (core/v1) the way client-go correlates them: the same event again raises the
 * count of the stored one; many similar ones (same object and reason, different messages) within ten
 * minutes become one combined event; a source that floods one object is limited to 25 and then one in five
 * minutes, but what is not sent is counted. Events are best effort: a failure is logged and forgotten.
 */
import { StatusError } from "#base/errors.ts";
import type { Clock, Logger } from "#base/ports.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Client } from "./types.ts";

export interface EventRecorderOptions {
  client: Client;
  clock: Clock;
  logger: Logger;
  /** source.component, for example "deployment-controller". */
  component: string;
  /** source.host, for node agents. */
  host?: string;
}

export interface EventTarget {
  apiVersion: string;
  kind: string;
  name: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  fieldPath?: string;
}

export interface EventRecorder {
  event(target: EventTarget, type: "Normal" | "Warning", reason: string, message: string): void;
  /** Resolves when everything recorded so far has been sent. */
  flush(): Promise<void>;
}

const similarLimit = 10;
const similarWindowMs = 600_000;
const burst = 25;
const refillPerSecond = 1 / 300;
const cacheLimit = 4096;
const sendLimit = 1000;

const events = { group: "", version: "v1", plural: "events" };

/** An event as it should stand in the store. */
interface Observed {
  target: EventTarget;
  type: string;
  reason: string;
  message: string;
  name: string;
  /** Also counts what the limit kept from being sent. */
  count: number;
  firstMs: number;
  lastMs: number;
  isStored: boolean;
  /** A send waits; it will tell of what comes until then. */
  isWaiting: boolean;
}

interface Similar {
  messages: Set<string>;
  lastMs: number;
}

export function targetOf(object: KubeObject): EventTarget {
  const { name, namespace, uid, resourceVersion } = object.metadata;
  return {
    apiVersion: object.apiVersion ?? "",
    kind: object.kind ?? "",
    name: name ?? "",
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}

export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  return new CorrelatingRecorder(options);
}

class CorrelatingRecorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #observed = new Map<string, Observed>();
  readonly #similar = new Map<string, Similar>();
  readonly #tokens = new Map<string, { left: number; atMs: number }>();
  #sending: Promise<void> = Promise.resolve();
  #pending = 0;
  #sequence = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  event(target: EventTarget, type: "Normal" | "Warning", reason: string, message: string): void {
    const nowMs = this.#options.clock.nowMs();
    const who = [target.kind, target.namespace, target.name, target.uid, target.apiVersion].join("/");
    const similar = `${who}/${type}/${reason}`;
    const combined = this.#isFlood(similar, message, nowMs);
    const text = combined ? `(combined from similar events): ${message}` : message;
    const key = combined ? similar : `${similar}/${target.fieldPath ?? ""}/${message}`;
    const observed = this.#observe(key, target, type, reason, text, nowMs);
    if (!this.#allow(who, nowMs) || observed.isWaiting) return;
    if (this.#pending >= sendLimit) {
      this.#options.logger.warn("an event is dropped: too many wait", { reason, name: target.name });
      return;
    }
    this.#pending++;
    observed.isWaiting = true;
    this.#sending = this.#sending
      .then(() => this.#send(observed))
      .finally(() => {
        this.#pending--;
      });
  }

  flush(): Promise<void> {
    return this.#sending;
  }

  /** True when so many different messages came within the window that this one joins the combined event. */
  #isFlood(key: string, message: string, nowMs: number): boolean {
    const known = this.#similar.get(key);
    const similar =
      known === undefined || nowMs - known.lastMs > similarWindowMs
        ? { messages: new Set<string>(), lastMs: nowMs }
        : known;
    similar.lastMs = nowMs;
    similar.messages.add(message);
    remember(this.#similar, key, similar);
    if (similar.messages.size < similarLimit) return false;
    similar.messages.delete(similar.messages.values().next().value!);
    return true;
  }

  #allow(who: string, nowMs: number): boolean {
    const bucket = this.#tokens.get(who) ?? { left: burst, atMs: nowMs };
    bucket.left = Math.min(burst, bucket.left + ((nowMs - bucket.atMs) / 1000) * refillPerSecond);
    bucket.atMs = nowMs;
    remember(this.#tokens, who, bucket);
    if (bucket.left < 1) return false;
    bucket.left--;
    return true;
  }

  #observe(
    key: string,
    target: EventTarget,
    type: string,
    reason: string,
    message: string,
    nowMs: number,
  ): Observed {
    const known = this.#observed.get(key);
    const unique = (BigInt(nowMs) * 1_000_000n + BigInt(this.#sequence++ % 1_000_000)).toString(16);
    const observed = known ?? {
      target,
      type,
      reason,
      message,
      name: `${target.name}.${unique}`,
      count: 0,
      firstMs: nowMs,
      lastMs: nowMs,
      isStored: false,
      isWaiting: false,
    };
    observed.count++;
    observed.lastMs = nowMs;
    observed.message = message;
    remember(this.#observed, key, observed);
    return observed;
  }

  async #send(observed: Observed): Promise<void> {
    observed.isWaiting = false;
    try {
      if (observed.isStored && (await this.#raise(observed))) return;
      await this.#create(observed);
      observed.isStored = true;
    } catch (error) {
      const { reason } = observed;
      this.#options.logger.debug("an event was not recorded", { reason, error: (error as Error).message });
    }
  }

  /** False when the stored event is gone. */
  async #raise({ target, name, count, lastMs, message }: Observed): Promise<boolean> {
    const patch = { count, lastTimestamp: timestamp(lastMs), message };
    try {
      await this.#options.client.patch(events, namespaceOf(target), name, "strategic", patch);
    } catch (error) {
      if (error instanceof StatusError && error.code === 404) return false;
      throw error;
    }
    return true;
  }

  async #create({ target, type, reason, message, name, count, firstMs, lastMs }: Observed): Promise<void> {
    const { client, component, host } = this.#options;
    await client.create(events, {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name, namespace: namespaceOf(target) },
      involvedObject: { ...target },
      reason,
      message,
      source: { component, ...(host === undefined ? {} : { host }) },
      firstTimestamp: timestamp(firstMs),
      lastTimestamp: timestamp(lastMs),
      count,
      type,
      eventTime: null,
      reportingComponent: component,
      reportingInstance: host ?? "",
    });
  }
}

function namespaceOf(target: EventTarget): string {
  return target.namespace ?? "default";
}

function timestamp(nowMs: number): string {
  return new Date(nowMs).toISOString().replace(/\.\d+Z$/, "Z");
}

/** Keeps the map bounded: the entry becomes the newest, the oldest goes when there are too many. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > cacheLimit) map.delete(map.keys().next().value!);
}
