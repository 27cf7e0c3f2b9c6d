/**
 * The datastore as one node serves it. A node whose replica has a copy answers from it; a spare has none
 * and passes everything on to a member that has. When a node's part changes, watches that were fed the
 * old way end with an error and are watched again.
 */

import type {
  Backend,
  BackendStatus,
  Leadership,
  RangeRequest,
  RangeResult,
  Transaction,
  TransactionResult,
  Watch,
  WatchRequest,
  WatchSink,
} from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import type { Leases } from "#base/leases.ts";
import { remoteLeases, runLeaseCall } from "#base/leases.ts";
import type { NodeId } from "#raft/types.ts";
import { BackendClient } from "./backend-client.ts";
import { BackendServer } from "./backend-server.ts";
import type { ClusterView } from "../roles/cluster-view.ts";
import { noLeaderError } from "../errors.ts";
import type { Frame } from "../peers/frames.ts";
import { encodeFrame } from "../peers/frames.ts";
import type { Reply } from "../ports.ts";
import type { Replica } from "../replica.ts";

const silenceMs = 5000;

interface Session {
  number: number;
  helper: NodeId;
  client: BackendClient;
}

interface Served {
  server: BackendServer;
  heardMs: number;
}

export class NodeBackend implements Backend {
  readonly #replica: Replica;
  readonly #view: ClusterView;
  /** The session with the member that helps this spare. */
  #session: Session | undefined;
  #sessions: number;
  #lastHelper: NodeId | undefined;
  #replicated: boolean;
  /** Sessions of spares that this member helps, by peer and number. */
  readonly #served = new Map<string, Served>();

  readonly leases: Leases;

  constructor(replica: Replica, view: ClusterView, lessor: Leases) {
    this.leases = remoteLeases((call) =>
      this.#replicates()
        ? runLeaseCall(lessor, call)
        : this.#remote((remote) => runLeaseCall(remote.leases, call)),
    );
    this.#replica = replica;
    this.#view = view;
    this.#replicated = view.replicates;
    // Numbers of an earlier life are not used again: a helper may still hold such a session.
    this.#sessions = Buffer.from(replica.ports.random.bytes(4)).readUInt32BE(0) * 1000;
  }

  range(request: RangeRequest): Promise<RangeResult> {
    return this.#replicates()
      ? this.#replica.range(request)
      : this.#remote((remote) => remote.range(request));
  }

  transact(transaction: Transaction): Promise<TransactionResult> {
    return this.#replicates()
      ? this.#replica.transact(transaction)
      : this.#remote((remote) => remote.transact(transaction));
  }

  readRevision(): Promise<number> {
    return this.#replicates()
      ? this.#replica.readRevision()
      : this.#remote((remote) => remote.readRevision());
  }

  compact(revision: number): Promise<void> {
    return this.#replicates()
      ? this.#replica.compact(revision)
      : this.#remote((remote) => remote.compact(revision));
  }

  watch(request: WatchRequest, sink: WatchSink): Watch {
    return this.#replicates() ? this.#replica.watch(request, sink) : this.#helper().watch(request, sink);
  }

  async status(): Promise<BackendStatus> {
    return this.#view.backendStatus();
  }

  onLeadership(callback: (leadership: Leadership) => void): () => void {
    return this.#replica.onLeadership(callback);
  }

  async close(): Promise<void> {
    this.#endSession(new StatusError("ServiceUnavailable", "the datastore has been closed"));
    for (const { server } of this.#served.values()) server.close();
    this.#served.clear();
  }

  /** Once a second. */
  tick(): void {
    this.#noteRole();
    this.#session?.client.tick(silenceMs);
    const now = this.#replica.ports.clock.monotonicMs();
    for (const [key, { server, heardMs }] of this.#served) {
      if (!server.closed && now - heardMs < silenceMs) continue;
      server.close();
      this.#served.delete(key);
    }
  }

  onPeerLost(peer: NodeId): void {
    if (this.#session?.helper === peer) {
      this.#endSession(new StatusError("ServiceUnavailable", "the connection to the datastore was lost"));
    }
  }

  onFrame(from: NodeId, frame: Frame & { type: "session" }, reply: Reply): void {
    if (frame.toServer) this.#serve(from, frame, reply);
    else if (this.#session?.number === frame.session && this.#session.helper === from) {
      if (frame.body.length === 0) this.onPeerLost(from);
      else this.#session.client.receive(frame.body);
    }
  }

  #replicates(): boolean {
    this.#noteRole();
    return this.#replicated;
  }

  #noteRole(): void {
    const replicates = this.#view.replicates;
    if (replicates === this.#replicated) return;
    this.#replicated = replicates;
    const error = new StatusError(
      "ServiceUnavailable",
      "this node's part in the datastore has changed: watch again",
    );
    if (replicates) this.#endSession(error);
    else {
      this.#replica.hub.fail(error);
      for (const { server } of this.#served.values()) server.close();
    }
  }

  /** A read or write that a lost session left without an answer stays so: only its caller may repeat it. */
  async #remote<T>(call: (remote: Backend) => Promise<T>): Promise<T> {
    return call(this.#helper());
  }

  #helper(): BackendClient {
    if (this.#session !== undefined && this.#session.client.failure === undefined)
      return this.#session.client;
    const helper = this.#chooseHelper();
    if (helper === undefined) throw noLeaderError();
    const number = ++this.#sessions;
    const { clock } = this.#replica.ports;
    const client = new BackendClient(
      {
        send: (body) =>
          this.#replica.send(helper, "bulk", { type: "session", session: number, toServer: true, body }),
        later: (flush) => void clock.setTimer(0, flush),
      },
      () => clock.monotonicMs(),
    );
    this.#session = { number, helper, client };
    return client;
  }

  /** The first to whom there is a connection; another than the one that has just failed, if there is another. */
  #chooseHelper(): NodeId | undefined {
    const greeting: Frame = { type: "alive", text: "" };
    const last = this.#session?.helper ?? this.#lastHelper;
    return this.#view
      .helpers()
      .toSorted((a, b) => Number(a === last) - Number(b === last))
      .find((helper) => this.#replica.send(helper, "bulk", greeting));
  }

  #endSession(error: Error): void {
    const session = this.#session;
    this.#session = undefined;
    this.#lastHelper = session?.helper ?? this.#lastHelper;
    session?.client.fail(error);
  }

  #serve(from: NodeId, frame: Frame & { type: "session" }, reply: Reply): void {
    const { session } = frame;
    const key = `${from}/${session}`;
    let served = this.#served.get(key);
    if (served?.server.closed === true) {
      this.#served.delete(key);
      served = undefined;
    }
    // The first byte of a first message is its number, 1: others belong to a session that is no more.
    if (served === undefined && (frame.body[0] !== 1 || !this.#replicates())) {
      reply(encodeFrame({ type: "session", session, toServer: false, body: new Uint8Array(0) }));
      return;
    }
    const { clock } = this.#replica.ports;
    if (served === undefined) {
      const server = new BackendServer(this, {
        send: (body) => reply(encodeFrame({ type: "session", session, toServer: false, body })),
        later: (flush) => void clock.setTimer(0, flush),
      });
      this.#served.set(key, (served = { server, heardMs: 0 }));
    }
    served.heardMs = clock.monotonicMs();
    served.server.receive(frame.body);
  }
}
