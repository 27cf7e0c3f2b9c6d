/**
 * Watches over one replica in its thread: puts meters on its ports and calls, asks each peer for a round trip
 * now and then, notices when the thread was held up, and answers with all of it when Prometheus asks.
 */

import { performance } from "node:perf_hooks";
import type { Backend } from "#base/backend.ts";
import { exposition } from "#base/exposition.ts";
import { StatusError } from "#base/errors.ts";
import type { Timer } from "#base/ports.ts";
import { defaultSlowRequests, measuredBackend } from "./measured-backend.ts";
import type { SlowRequestOptions } from "./measured-backend.ts";
import { measuredPorts } from "./measured-ports.ts";
import { formatMemberId, parseMemberId } from "../member-id.ts";
import { ReplicaMeter } from "./meter.ts";
import { replicaFamilies } from "./metrics.ts";
import type { ReplicaPorts } from "../ports.ts";
import type { ReplicaNode } from "../replica-node.ts";

const lookMs = 50;
/** The thread counts as held up when a look comes this much too late. */
const lateMs = 25;
const probeMs = 5000;
const probeTimeoutMs = 4000;
const activeMs = 5000;
/** Counting keys reads an index: not for every scraper anew. */
const recountMs = 15_000;

export class ReplicaMonitor {
  readonly meter = new ReplicaMeter();
  readonly ports: ReplicaPorts;
  #node: ReplicaNode | undefined;
  #timer: Timer | undefined;
  #lookedMs: number;
  #probedMs = -Infinity;
  #leader: { id: number; term: number } = { id: 0, term: 0 };
  #counted = { keys: 0, atMs: -Infinity };
  #stopped = false;

  /** The replica is to be given `ports` instead of its own. */
  constructor(ports: ReplicaPorts) {
    this.ports = measuredPorts(ports, this.meter);
    this.#lookedMs = ports.clock.monotonicMs();
  }

  start(node: ReplicaNode): void {
    this.#node = node;
    this.#arm();
  }

  /** The same backend with a meter on its calls. */
  backend<B extends Backend>(backend: B, options: SlowRequestOptions = defaultSlowRequests): B {
    const { clock, logger } = this.ports;
    const isAlone = () => this.#node?.view.cluster().members.length === 1;
    return measuredBackend(backend, this.meter, clock, logger, { ...options, isAlone });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** In Prometheus' text format. */
  text(): string {
    const node = this.#node;
    if (node === undefined || node.replica.stopped) return "";
    const { replica } = node;
    const nowMs = this.ports.clock.monotonicMs();
    const status = node.status();
    return exposition(
      replicaFamilies(this.meter, {
        status,
        isLeader: replica.leadership.leading,
        isLearner: replica.confState.learners.includes(replica.id),
        keys: this.#keys(nowMs),
        watchers: replica.hub.size,
        activePeers: [...replica.heardMs]
          .filter(([, atMs]) => nowMs - atMs < activeMs)
          .map(([id]) => formatMemberId(id)),
        scrub: replica.scrubber.progress,
        threadActiveSeconds: performance.eventLoopUtilization().active / 1000,
      }),
    );
  }

  #arm(): void {
    this.#timer = this.ports.clock.setTimer(lookMs, () => {
      if (this.#stopped) return;
      this.#look();
      this.#arm();
    });
  }

  #look(): void {
    const replica = this.#node?.replica;
    if (replica === undefined || replica.stopped) return;
    const { spans } = this.meter;
    const before = this.#lookedMs;
    const now = (this.#lookedMs = this.ports.clock.monotonicMs());
    this.meter.threadDelaySeconds.observe(Math.max(0, now - before - lookMs) / 1000);
    if (now - before > lookMs + lateMs) spans.add("thread", before + lookMs, now);
    const { softState, hardState } = replica.raftStatus;
    const leader = { id: softState.leader, term: hardState.term };
    if (leader.id === 0) spans.add("no leader", before, now);
    else if (leader.id !== this.#leader.id || leader.term !== this.#leader.term) {
      this.meter.leaderChanges++;
      this.#leader = leader;
    }
    if (now - this.#probedMs < probeMs) return;
    this.#probedMs = now;
    for (const { id } of replica.cluster?.members ?? []) void this.#probe(id);
  }

  async #probe(id: string): Promise<void> {
    const replica = this.#node!.replica;
    const to = parseMemberId(id);
    if (to === replica.id) return;
    const startedMs = this.ports.clock.monotonicMs();
    try {
      await replica.calls.call(to, "probe", new Uint8Array(0), probeTimeoutMs);
    } catch (error) {
      // A release that does not know the question has answered all the same; otherwise there was no round trip.
      if (!(error instanceof StatusError && error.reason === "NotImplemented")) return;
    }
    this.meter.peer(id).roundTripSeconds.observe((this.ports.clock.monotonicMs() - startedMs) / 1000);
  }

  #keys(nowMs: number): number {
    if (nowMs - this.#counted.atMs > recountMs) {
      const { store } = this.#node!.replica;
      this.#counted = { keys: store.read({ key: "\0", end: "\0", countOnly: true }).count, atMs: nowMs };
    }
    return this.#counted.keys;
  }
}
