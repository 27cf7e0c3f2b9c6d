/**
 * A backend whose calls are timed. One that took long is told of in the log, with where its time went as far
 * as this node can know: what is not the node's own doing is the others' (the way to them, their disks).
 */

import type { Backend, Operation, RangeRequest, Transaction } from "#base/backend.ts";
import type { Clock, Logger } from "#base/ports.ts";
import type { ReplicaMeter } from "./meter.ts";

export interface SlowRequestOptions {
  /** Milliseconds from which on a request is slow. */
  slowMs: number;
  /** At most one line in this time; the next one says how many were left out. Milliseconds. */
  quietMs: number;
  /** There are no other members: what is not this node's work is waiting for its turn. Default: there are. */
  isAlone?: () => boolean;
}

export const defaultSlowRequests: SlowRequestOptions = { slowMs: 100, quietMs: 1000 };

const describers = {
  range: (request: RangeRequest) => `range ${rangeText(request)}`,
  transact: transactionText,
  readRevision: () => "read index",
  compact: (revision: number) => `compact to ${revision}`,
};

type Measured = keyof typeof describers;

const writes: Measured[] = ["transact", "compact"];

/** Everything but the measured calls goes straight to the backend. */
export function measuredBackend<B extends Backend>(
  backend: B,
  meter: ReplicaMeter,
  clock: Clock,
  logger: Logger,
  options: SlowRequestOptions = defaultSlowRequests,
): B {
  const slow = new SlowRequestLog(meter, clock, logger, options);
  const measured = new Map<string | symbol, unknown>();
  for (const method of Object.keys(describers) as Measured[]) {
    const call = backend[method].bind(backend) as (argument: never) => Promise<unknown>;
    const describe = describers[method] as (argument: never) => string;
    measured.set(method, (argument: never) =>
      slow.time(
        method,
        () => call(argument),
        () => describe(argument),
      ),
    );
  }
  return new Proxy(backend, {
    get(target, name) {
      const found = measured.get(name) ?? (Reflect.get(target, name, target) as unknown);
      return typeof found === "function" && !measured.has(name) ? (found.bind(target) as unknown) : found;
    },
  });
}

class SlowRequestLog {
  readonly #meter: ReplicaMeter;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #options: SlowRequestOptions;
  #saidMs = -Infinity;
  #leftOut = 0;

  constructor(meter: ReplicaMeter, clock: Clock, logger: Logger, options: SlowRequestOptions) {
    this.#meter = meter;
    this.#clock = clock;
    this.#logger = logger;
    this.#options = options;
  }

  async time(method: Measured, call: () => Promise<unknown>, describe: () => string): Promise<unknown> {
    const startedMs = this.#clock.monotonicMs();
    const request = this.#meter.request(method);
    const isWrite = writes.includes(method);
    if (isWrite) this.#meter.pendingProposals++;
    try {
      return await call();
    } catch (error) {
      request.failed++;
      if (isWrite) this.#meter.failedProposals++;
      throw error;
    } finally {
      if (isWrite) this.#meter.pendingProposals--;
      const nowMs = this.#clock.monotonicMs();
      request.seconds.observe((nowMs - startedMs) / 1000);
      if (nowMs - startedMs >= this.#options.slowMs) {
        request.slow++;
        this.#tell(method, describe(), startedMs, nowMs);
      }
    }
  }

  #tell(method: Measured, text: string, startedMs: number, nowMs: number): void {
    if (nowMs - this.#saidMs < this.#options.quietMs) {
      this.#leftOut++;
      return;
    }
    const leftOut = this.#leftOut === 0 ? {} : { leftOut: this.#leftOut };
    this.#saidMs = nowMs;
    this.#leftOut = 0;
    const { parts, cause } = this.#explain(method, startedMs, nowMs);
    this.#logger.warn("slow request", {
      request: text,
      tookMs: Math.round(nowMs - startedMs),
      expectedMs: this.#options.slowMs,
      cause,
      ...parts,
      ...leftOut,
    });
  }

  /** Of what happened at the same time the first counts: while there is no leader, nothing else matters. */
  #explain(
    method: Measured,
    startedMs: number,
    nowMs: number,
  ): { parts: Record<string, number>; cause: string } {
    const { spans } = this.#meter;
    const isWrite = writes.includes(method);
    const own: [string, string, number][] = [
      ["noLeaderMs", "no leader was known", spans.within("no leader", startedMs, nowMs)],
      ["threadMs", "the replica's thread was held up", spans.within("thread", startedMs, nowMs)],
      ["flushMs", "this node's disk", isWrite ? spans.within("flush", startedMs, nowMs) : 0],
      ["applyMs", "applying to the state", spans.within("apply", startedMs, nowMs)],
    ];
    let leftMs = nowMs - startedMs;
    const parts: Record<string, number> = {};
    const causes: [string, number][] = [];
    for (const [name, reason, ms] of own) {
      const counted = Math.min(ms, leftMs);
      leftMs -= counted;
      parts[name] = Math.round(counted);
      causes.push([reason, counted]);
    }
    const isAlone = this.#options.isAlone?.() === true;
    parts[isAlone ? "queueMs" : "othersMs"] = Math.round(leftMs);
    causes.push([
      isAlone ? "the requests before it" : `the other members (${isWrite ? "replication" : "read index"})`,
      leftMs,
    ]);
    const [cause] = causes.toSorted((a, b) => b[1] - a[1])[0]!;
    return { parts, cause };
  }
}

const maxKeyLength = 200;

function transactionText({ compare, success, failure }: Transaction): string {
  const bytes = [...success, ...failure].reduce((sum, operation) => sum + sizeOf(operation), 0);
  const first = success[0] ?? failure[0];
  const what = first === undefined ? "" : ` ${first.type} ${keyOf(first)}`;
  return `txn of ${compare.length} compares, ${success.length} + ${failure.length} operations, ${bytes} bytes:${what}`;
}

function keyOf(operation: Operation): string {
  if (operation.type === "range") return rangeText(operation.request);
  return operation.type === "txn" ? "(nested)" : quote(operation.key);
}

function sizeOf(operation: Operation): number {
  return operation.type === "put" ? operation.value.length : 0;
}

function rangeText({ key, end, limit, revision, serializable }: RangeRequest): string {
  const parts = [quote(key)];
  if (end !== undefined) parts.push(`to ${quote(end)}`);
  if (limit !== undefined && limit > 0) parts.push(`limit ${limit}`);
  if (revision !== undefined && revision > 0) parts.push(`at ${revision}`);
  if (serializable === true) parts.push("serializable");
  return parts.join(" ");
}

function quote(key: string): string {
  return JSON.stringify(key.length > maxKeyLength ? `${key.slice(0, maxKeyLength)}...` : key);
}
