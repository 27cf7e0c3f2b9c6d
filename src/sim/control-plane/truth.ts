/** What the datastore holds, decoded and told change by change at the moment it is committed. */

import type { WatchEvent } from "#base/backend.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { SimulatedClock } from "./simulated-clock.ts";
import type { TermBackend } from "./term-backend.ts";

export interface Change {
  kind: string;
  /** Undefined: it was removed. */
  object: KubeObject | undefined;
  old: KubeObject | undefined;
  /** By a control loop or the scheduler. */
  fenced: boolean;
  atMs: number;
}

const decoder = new TextDecoder();

export class Truth {
  readonly #clock: SimulatedClock;
  readonly #backend: TermBackend;
  readonly #byStoreKey = new Map<string, KubeObject>();
  readonly #byKind = new Map<string, Map<string, KubeObject>>();
  readonly #listeners: ((change: Change) => void)[] = [];
  /** Changes but those that never end: leases and events. */
  changes = 0;
  /** The last of them. */
  last: string[] = [];
  /** All changes, in order, in one number. */
  hash = 0x811c9dc5;
  /** Thrown by a listener: the first broken promise. */
  failure: unknown;

  constructor(clock: SimulatedClock, backend: TermBackend) {
    this.#clock = clock;
    this.#backend = backend;
    backend.watch(
      { key: "/registry/", end: "/registry0" },
      {
        onEvents: (events) => {
          for (const event of events) this.#onEvent(event);
        },
        onEnd: () => undefined,
      },
    );
  }

  onChange(listener: (change: Change) => void): void {
    this.#listeners.push(listener);
  }

  get(kind: string, namespace: string | undefined, name: string): KubeObject | undefined {
    return this.#byKind.get(kind)?.get(`${namespace ?? ""}/${name}`);
  }

  list<T extends KubeObject = KubeObject>(kind: string): T[] {
    return [...(this.#byKind.get(kind)?.values() ?? [])] as T[];
  }

  all(): Iterable<KubeObject> {
    return this.#byStoreKey.values();
  }

  #onEvent({ type, kv }: WatchEvent): void {
    const old = this.#byStoreKey.get(kv.key);
    const text = decoder.decode(kv.value);
    const object = type === "put" ? (JSON.parse(text) as KubeObject) : undefined;
    const kind = (object ?? old)?.kind;
    const { name, namespace } = (object ?? old)?.metadata ?? {};
    if (kind === undefined || name === undefined) return;
    const key = `${namespace ?? ""}/${name}`;
    let kept = this.#byKind.get(kind);
    if (kept === undefined) this.#byKind.set(kind, (kept = new Map()));
    if (object === undefined) {
      this.#byStoreKey.delete(kv.key);
      kept.delete(key);
    } else {
      this.#byStoreKey.set(kv.key, object);
      kept.set(key, object);
    }
    this.#mix(`${this.#clock.monotonicMs()} ${kv.key} ${text}`);
    if (kind !== "Lease" && kind !== "Event") {
      this.changes++;
      this.last.push(`${type} ${kind} ${key}`);
      if (this.last.length > 20) this.last.shift();
    }
    const { fenced } = this.#backend;
    const change: Change = { kind, object, old, fenced, atMs: this.#clock.monotonicMs() };
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        this.failure ??= error;
      }
    }
  }

  #mix(text: string): void {
    let hash = this.hash;
    for (let index = 0; index < text.length; index++)
      hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
    this.hash = hash >>> 0;
  }
}
