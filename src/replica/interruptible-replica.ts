/**
 * The replica of a node, which can be let crash and be started again in place: for `trivet drill`. What is
 * over it (the API) goes on, is refused meanwhile, and finds the same backend again afterwards.
 */

import type { Backend, Leadership, Watch, WatchRequest, WatchSink } from "#base/backend.ts";
import type { RangeRequest, Transaction } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import { remoteLeases, runLeaseCall } from "#base/leases.ts";
import { LeadershipFeed } from "./leadership-feed.ts";
import type { OpenReplica } from "./open-replica.ts";
import type { ReplicaStatus } from "./types.ts";

/** Opens the replica; the second time with the port that it had the first time. */
export type Open = (port: number | undefined) => Promise<OpenReplica>;

export class InterruptibleReplica {
  readonly backend: Backend;
  readonly #open: Open;
  readonly #onStatus: (status: ReplicaStatus) => void;
  readonly #leadership = new LeadershipFeed();
  #opened: OpenReplica;
  #down = false;
  #stopped = false;
  #stopLeadership: () => void = () => undefined;

  static async open(open: Open, onStatus: (status: ReplicaStatus) => void): Promise<InterruptibleReplica> {
    return new InterruptibleReplica(open, onStatus, await open(undefined));
  }

  private constructor(open: Open, onStatus: (status: ReplicaStatus) => void, opened: OpenReplica) {
    this.#open = open;
    this.#onStatus = onStatus;
    this.#opened = opened;
    this.backend = this.#makeBackend();
    this.#attach();
  }

  /** Throws ServiceUnavailable during an outage. */
  get opened(): OpenReplica {
    if (this.#down)
      throw new StatusError("ServiceUnavailable", "the datastore of this node is stopped for a drill");
    return this.#opened;
  }

  /** As kill -9 would end it, then a start from what is on the disk. Resolves when it is open again. */
  async outage(durationMs: number): Promise<void> {
    const { port } = this.opened;
    this.#down = true;
    this.#stopLeadership();
    this.#leadership.set({ leading: false, term: this.#leadership.current.term });
    this.#opened.node.kill();
    await this.#opened.node.backend.close();
    await this.#opened.stop();
    await new Promise((resolve) => {
      setTimeout(resolve, durationMs);
    });
    if (this.#stopped) return;
    this.#opened = await this.#open(port);
    this.#down = false;
    this.#attach();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#opened.stop();
  }

  #attach(): void {
    const { node } = this.#opened;
    node.onStatus(this.#onStatus);
    this.#stopLeadership = node.backend.onLeadership((leadership) => this.#leadership.set(leadership));
  }

  #makeBackend(): Backend {
    const present = () => this.opened.backend;
    return {
      range: async (request: RangeRequest) => present().range(request),
      transact: async (transaction: Transaction) => present().transact(transaction),
      readRevision: async () => present().readRevision(),
      compact: async (revision: number) => present().compact(revision),
      watch: (request: WatchRequest, sink: WatchSink): Watch => present().watch(request, sink),
      status: async () => present().status(),
      onLeadership: (callback: (leadership: Leadership) => void) => this.#leadership.watch(callback),
      leases: remoteLeases(async (call) => runLeaseCall(present().leases, call)),
      close: async () => present().close(),
    };
  }
}
