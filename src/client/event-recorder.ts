/**
 * Records Kubernetes events (core/v1) the way client-go correlates them: the same event again raises the
 * count of the stored one; many similar ones (same object and reason, different messages) within ten
 * minutes become one combined event; a source that floods one object is limited. Events are best
 * effort: a failure is logged and forgotten.
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

interface Sent {
  name: string;
  namespace: string;
  count: number;
  firstTimestamp: string;
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
  readonly #sent = new Map<string, Sent>();
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
    const who = [
      target.kind,
      target.namespace,
      target.name,
      target.uid,
      target.apiVersion,
      target.fieldPath,
    ].join("/");
    const similar = `${who}/${type}/${reason}`;
    const combined = this.#isFlood(similar, message, nowMs);
    const text = combined ? `(combined from similar events): ${message}` : message;
    const key = combined ? similar : `${similar}/${message}`;
    if (!this.#allow(who, nowMs)) return;
    if (this.#pending >= sendLimit) {
      this.#options.logger.warn("an event is dropped: too many wait", { reason, name: target.name });
      return;
    }
    this.#pending++;
    this.#sending = this.#sending
      .then(() => this.#send(key, target, type, reason, text, nowMs))
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

  async #send(
    key: string,
    target: EventTarget,
    type: string,
    reason: string,
    message: string,
    nowMs: number,
  ): Promise<void> {
    try {
      const known = this.#sent.get(key);
      if (known !== undefined && (await this.#raise(known, message, nowMs))) return;
      remember(this.#sent, key, await this.#create(target, type, reason, message, nowMs));
    } catch (error) {
      this.#options.logger.debug("an event was not recorded", { reason, error: (error as Error).message });
    }
  }

  /** False when the stored event is gone. */
  async #raise(known: Sent, message: string, nowMs: number): Promise<boolean> {
    const patch = { count: known.count + 1, lastTimestamp: timestamp(nowMs), message };
    try {
      await this.#options.client.patch(events, known.namespace, known.name, "strategic", patch);
    } catch (error) {
      if (error instanceof StatusError && error.code === 404) return false;
      throw error;
    }
    known.count++;
    return true;
  }

  async #create(
    target: EventTarget,
    type: string,
    reason: string,
    message: string,
    nowMs: number,
  ): Promise<Sent> {
    const { client, component, host } = this.#options;
    const namespace = target.namespace ?? "default";
    const at = timestamp(nowMs);
    const unique = (BigInt(nowMs) * 1_000_000n + BigInt(this.#sequence++ % 1_000_000)).toString(16);
    const name = `${target.name}.${unique}`;
    await client.create(events, {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name, namespace },
      involvedObject: { ...target },
      reason,
      message,
      source: { component, ...(host === undefined ? {} : { host }) },
      firstTimestamp: at,
      lastTimestamp: at,
      count: 1,
      type,
      eventTime: null,
      reportingComponent: component,
      reportingInstance: host ?? "",
    });
    return { name, namespace, count: 1, firstTimestamp: at };
  }
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
