/**
 * Who leads among the nodes that share an etcd: whoever holds the note `leader`, which is bound to a lease. Its create
 * revision is the term: it grows with every change, and a write that compares it is refused as soon as
 * another leads or the lease has ended. Every node also says with the same lease that it is there.
 */
import type { Leadership } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import type { Leases } from "#base/leases.ts";

export interface ElectionStore {
  leases: Leases;
  /** Puts the note with the lease unless it is there; says who holds it then. */
  claim(name: string, text: string, lease: string): Promise<{ text: string; createRevision: number }>;
  putNote(name: string, text: string, lease?: string): Promise<void>;
}

const ttlSeconds = 6;
const renewMs = 1500;
/** Who has resigned leaves the first tries to the others. */
const restMs = 2000;

export class Election {
  readonly #store: ElectionStore;
  readonly #id: string;
  readonly #record: string;
  readonly #callbacks = new Set<(leadership: Leadership) => void>();
  #leadership: Leadership = { leading: false, term: 0 };
  #holder: { id: string; term: number } | undefined;
  #lease: { id: string; endMs: number } | undefined;
  #working = false;
  #again = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #restUntilMs = 0;

  /** `record`: what the note of this node's presence says. */
  constructor(store: ElectionStore, id: string, record: string) {
    this.#store = store;
    this.#id = id;
    this.#record = record;
  }

  get leadership(): Leadership {
    return this.#leadership;
  }

  /** Who leads, as far as this node has heard. */
  get holder(): { id: string; term: number } | undefined {
    return this.#holder;
  }

  start(): void {
    this.#timer = setInterval(() => this.#work(), renewMs);
    this.#work();
  }

  /** The note `leader` as the feed tells it. */
  onLeaderNote(note: { text: string; createRevision: number } | undefined): void {
    this.#holder = note === undefined ? undefined : { id: note.text, term: note.createRevision };
    this.#update();
    if (note === undefined) this.#work();
  }

  watch(callback: (leadership: Leadership) => void): () => void {
    this.#callbacks.add(callback);
    callback(this.#leadership);
    return () => this.#callbacks.delete(callback);
  }

  /** Ends this node's lease and lets the others try first. */
  async resign(): Promise<void> {
    const lease = this.#lease;
    this.#lease = undefined;
    this.#restUntilMs = performance.now() + restMs;
    this.#update();
    if (lease !== undefined) await this.#store.leases.revoke(lease.id);
  }

  /** Gives the lease back, so that another leads at once. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    const lease = this.#lease;
    this.#lease = undefined;
    this.#update();
    if (lease !== undefined) await this.#store.leases.revoke(lease.id).catch(() => undefined);
  }

  #work(): void {
    // A lease that could not be renewed in time may be another's chance already.
    this.#update();
    if (this.#working) this.#again = true;
    if (this.#working || this.#closed) return;
    this.#working = true;
    this.#again = false;
    this.#renew()
      .then(() => this.#campaign())
      // The next round tries again; until then the lease's own end keeps this node honest.
      .catch(() => undefined)
      .finally(() => {
        this.#working = false;
        if (this.#again) this.#work();
      });
  }

  async #renew(): Promise<void> {
    const lease = this.#lease;
    const askedMs = performance.now();
    if (lease !== undefined) {
      try {
        lease.endMs = askedMs + (await this.#store.leases.renew(lease.id)) * 1000;
        return;
      } catch (error) {
        if (!(error instanceof StatusError && error.reason === "NotFound")) throw error;
        this.#lease = undefined;
        this.#update();
      }
    }
    const granted = await this.#store.leases.grant("0", ttlSeconds);
    if (this.#closed) {
      await this.#store.leases.revoke(granted.id);
      return;
    }
    await this.#store.putNote(`online/${this.#id}`, this.#record, granted.id);
    this.#lease = { id: granted.id, endMs: askedMs + granted.ttlSeconds * 1000 };
  }

  async #campaign(): Promise<void> {
    const lease = this.#lease;
    if (lease === undefined || this.#closed || this.#holder !== undefined) return;
    if (performance.now() < this.#restUntilMs) return;
    const holder = await this.#store.claim("leader", this.#id, lease.id);
    this.#holder = { id: holder.text, term: holder.createRevision };
    this.#update();
  }

  #update(): void {
    const lease = this.#lease;
    const holder = this.#holder;
    const leading =
      !this.#closed && lease !== undefined && performance.now() < lease.endMs && holder?.id === this.#id;
    const term = holder?.term ?? this.#leadership.term;
    if (leading === this.#leadership.leading && term === this.#leadership.term) return;
    this.#leadership = { leading, term };
    for (const callback of this.#callbacks) callback(this.#leadership);
  }
}
