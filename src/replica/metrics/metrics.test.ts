import assert from "node:assert/strict";
import { test } from "node:test";
import type { Backend, Transaction } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import { exposition } from "#base/exposition.ts";
import { MemoryBackend } from "#base/memory-backend.ts";
import type { Clock, Logger } from "#base/ports.ts";
import { BusySpans } from "./busy-spans.ts";
import { measuredBackend } from "./measured-backend.ts";
import { measuredPorts } from "./measured-ports.ts";
import { ReplicaMeter } from "./meter.ts";
import type { DiskFile, PeerTransportEvents, ReplicaPorts } from "../ports.ts";

/** A clock that stands until it is moved, and a log that is kept. */
class Bench {
  nowMs = 1000;
  readonly lines: { message: string; fields: Record<string, unknown> }[] = [];
  readonly clock: Clock = {
    nowMs: () => this.nowMs,
    monotonicMs: () => this.nowMs,
    setTimer: () => ({ cancel: () => undefined }),
  };
  readonly logger: Logger = {
    debug: () => undefined,
    info: () => undefined,
    warn: (message, fields = {}) => void this.lines.push({ message, fields }),
    error: () => undefined,
  };

  /** A backend whose calls take this long. */
  backend(tookMs: number, fails = false): Backend {
    const slow = new MemoryBackend();
    const transact = slow.transact.bind(slow);
    slow.transact = async (transaction: Transaction) => {
      this.nowMs += tookMs;
      if (fails) throw new StatusError("Timeout", "etcdserver: request timed out");
      return transact(transaction);
    };
    return slow;
  }
}

const put: Transaction = {
  compare: [],
  success: [{ type: "put", key: "/registry/pods/default/web", value: new Uint8Array(300) }],
  failure: [],
};

test("spans add up within a time, also where they reach beyond it", () => {
  const spans = new BusySpans();
  spans.add("flush", 100, 150);
  spans.add("flush", 200, 300);
  spans.add("apply", 100, 300);
  spans.add("flush", 310, 310.5);
  assert.equal(spans.within("flush", 120, 250), 80);
  assert.equal(spans.within("apply", 0, 1000), 200);
  assert.equal(spans.within("thread", 0, 1000), 0);
  for (let at = 0; at < 5000; at++) spans.add("thread", 1000 + at * 10, 1005 + at * 10);
  assert.equal(spans.within("thread", 50_950, 51_000), 25, "the newest are kept");
  assert.equal(spans.within("flush", 0, 1000), 0, "the oldest are not");
});

test("a slow write is told of once, with where its time went", async () => {
  const bench = new Bench();
  const meter = new ReplicaMeter();
  const backend = measuredBackend(bench.backend(400), meter, bench.clock, bench.logger);
  meter.spans.add("flush", 1050, 1300);
  meter.spans.add("thread", 1300, 1330);
  await backend.transact(put);
  assert.deepEqual(bench.lines, [
    {
      message: "slow request",
      fields: {
        request: 'txn of 0 compares, 1 + 0 operations, 300 bytes: put "/registry/pods/default/web"',
        tookMs: 400,
        expectedMs: 100,
        cause: "this node's disk",
        noLeaderMs: 0,
        threadMs: 30,
        flushMs: 250,
        applyMs: 0,
        othersMs: 120,
      },
    },
  ]);
  await backend.transact(put);
  await backend.transact(put);
  assert.equal(bench.lines.length, 1, "not more than one line a second, until one has passed");
  bench.nowMs += 1000;
  await backend.transact(put);
  assert.equal(bench.lines.length, 2);
  const { cause, leftOut }: Record<string, unknown> = bench.lines[1]!.fields;
  assert.deepEqual([cause, leftOut], ["the other members (replication)", 2]);
});

test("without other members nothing is blamed on them", async () => {
  const bench = new Bench();
  const options = { slowMs: 100, quietMs: 1000, isAlone: () => true };
  const backend = measuredBackend(bench.backend(150), new ReplicaMeter(), bench.clock, bench.logger, options);
  await backend.transact(put);
  const { cause, queueMs, othersMs }: Record<string, unknown> = bench.lines[0]!.fields;
  assert.deepEqual([cause, queueMs, othersMs], ["the requests before it", 150, undefined]);
});

test("what is quick is counted and not told of", async () => {
  const bench = new Bench();
  const meter = new ReplicaMeter();
  const options = { slowMs: 50, quietMs: 1000 };
  const quick = measuredBackend(bench.backend(20), meter, bench.clock, bench.logger, options);
  assert.equal((await quick.transact(put)).succeeded, true);
  assert.equal((await quick.range({ key: "/registry/pods/default/web" })).count, 1);
  assert.deepEqual(bench.lines, []);
  const failing = measuredBackend(bench.backend(60, true), meter, bench.clock, bench.logger, options);
  await assert.rejects(failing.transact(put), /timed out/);
  assert.equal(bench.lines.length, 1, "the limit can be set");
  assert.equal(meter.failedProposals, 1);
  assert.equal(meter.pendingProposals, 0);
  const { seconds, failed, slow } = meter.request("transact");
  assert.deepEqual([failed, slow], [1, 1]);
  assert.deepEqual(seconds.samples().at(-2), { suffix: "_sum", labels: {}, value: 0.08 });
});

test("what is not measured goes through, and keeps its owner", async () => {
  const bench = new Bench();
  const backend = measuredBackend(new MemoryBackend(), new ReplicaMeter(), bench.clock, bench.logger);
  const seen: string[] = [];
  backend.watch(
    { key: "a" },
    { onEvents: (events) => seen.push(...events.map(({ kv }) => kv.key)), onEnd: () => undefined },
  );
  await backend.transact({
    compare: [],
    success: [{ type: "put", key: "a", value: new Uint8Array(1) }],
    failure: [],
  });
  await backend.readRevision();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(seen, ["a"]);
  assert.equal((await backend.status()).revision, 2);
});

test("flushes are timed, and a very slow one is told of", () => {
  const bench = new Bench();
  const meter = new ReplicaMeter();
  let flushed: ((error: Error | undefined) => void) | undefined;
  const file: DiskFile = {
    sizeBytes: 7,
    read: () => new Uint8Array(3),
    write: () => undefined,
    flush: (done) => void (flushed = done),
    close: () => undefined,
  };
  const { disk } = measuredPorts(ports(bench, { file }), meter);
  const opened = disk.open("log");
  assert.equal(opened.sizeBytes, 7);
  const results: unknown[] = [];
  for (const [tookMs, error] of [
    [2.5, undefined],
    [1200, new Error("EIO")],
  ] as const) {
    opened.flush((failure) => results.push(failure?.message));
    bench.nowMs += tookMs;
    flushed?.(error);
  }
  assert.deepEqual(results, [undefined, "EIO"]);
  assert.deepEqual(bench.lines, [{ message: "slow fdatasync", fields: { tookMs: 1200, expectedMs: 1000 } }]);
  assert.match(
    exposition([{ name: "fsync", help: "h", type: "histogram", samples: meter.flushSeconds.samples() }]),
    /fsync_bucket\{le="0.002"\} 0\nfsync_bucket\{le="0.004"\} 1\n[^]*fsync_sum 1.2025\nfsync_count 2/,
  );
  assert.equal(meter.spans.within("flush", 0, 9999), 1202.5);
});

test("bytes are counted per peer, both ways, answers too", () => {
  const bench = new Bench();
  const meter = new ReplicaMeter();
  let events: PeerTransportEvents | undefined;
  const { transport } = measuredPorts(
    ports(bench, { onStart: (given) => (events = given), takes: (to) => to === 10 }),
    meter,
  );
  const replies: number[] = [];
  transport.start({ onFrame: (_, __, reply) => reply(new Uint8Array(5)), onUnreachable: () => undefined });
  assert.equal(transport.send(10, "raft", new Uint8Array(100)), true);
  assert.equal(transport.send(11, "bulk", new Uint8Array(100)), false);
  events?.onFrame(10, new Uint8Array(40), (frame) => replies.push(frame.length) > 0);
  assert.deepEqual(replies, [5]);
  const { sentBytes, receivedBytes, sendFailures } = meter.peer("000000000000000a");
  assert.deepEqual([sentBytes, receivedBytes, sendFailures], [105, 40, 0]);
  assert.equal(meter.peer("000000000000000b").sendFailures, 1);
});

function ports(
  bench: Bench,
  given: {
    file?: DiskFile;
    onStart?: (events: PeerTransportEvents) => void;
    takes?: (to: number) => boolean;
  },
): ReplicaPorts {
  const none = () => {
    throw new Error("not asked for");
  };
  return {
    clock: bench.clock,
    logger: bench.logger,
    random: { integer: none, bytes: none },
    state: { open: none, receive: none, adopt: none },
    disk: {
      list: () => [],
      open: () => given.file ?? none(),
      rename: none,
      remove: none,
      flushNames: none,
    },
    transport: {
      start: (events) => given.onStart?.(events),
      setPeers: () => undefined,
      send: (to) => given.takes?.(to) ?? true,
    },
  };
}
