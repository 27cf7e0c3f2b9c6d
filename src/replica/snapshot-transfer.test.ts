/** Snapshots on a way that breaks: what is asked for again, what is begun anew, how much is under way at a time. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { StateDirectory } from "#store/state-directory.ts";
import { decodeFrame } from "./peers/frames.ts";
import { ManualWorld } from "./manual-world.fixture.ts";
import { parseMemberId } from "./member-id.ts";
import type { PeerTransportEvents } from "./ports.ts";

const put = (key: string) => ({
  compare: [],
  success: [{ type: "put" as const, key, value: new Uint8Array(4000) }],
  failure: [],
});

/** Where the receiver asked to go on, and what came back. */
interface Traffic {
  asked: number[];
  outstanding: number;
  mostOutstanding: number;
  largestBytes: number;
}

/** A lone leader with about 400 kB and little of its log left, so that a member that joins needs a snapshot. */
async function full(): Promise<ManualWorld> {
  const world = new ManualWorld(3, {
    config: { memberId: "", keptLogBytes: 20_000, snapshotChunkBytes: 16_384 },
  });
  world.bootstrap();
  await world.until(() => world.leader() === 0, "the leader");
  for (let at = 0; at < 100; at++) await world.during(world.node(0).backend.transact(put(`/k${at}`)));
  await world.until(() => world.node(0).replica.log.firstIndex > 50, "a short log");
  return world;
}

function spy(world: ManualWorld, traffic: Traffic): void {
  const watch = (at: number, type: string, note: (frame: Uint8Array, size: number) => void) => {
    const machine = world.machines[at];
    const events = machine?.events as PeerTransportEvents;
    if (machine === undefined) return;
    machine.events = {
      ...events,
      onFrame(from, bytes, reply) {
        const frame = decodeFrame(bytes);
        const isChunk = frame.type === "call" && frame.method === "chunk";
        if (frame.type === type && (isChunk || type === "answer")) note(bytes, bytes.length);
        events.onFrame(from, bytes, reply);
      },
    };
  };
  watch(0, "call", (bytes) => {
    traffic.asked.push(Buffer.from(bytes).readUInt8(bytes.length - 1));
    traffic.mostOutstanding = Math.max(traffic.mostOutstanding, ++traffic.outstanding);
  });
  watch(1, "answer", (_, size) => {
    traffic.outstanding--;
    traffic.largestBytes = Math.max(traffic.largestBytes, size);
  });
}

const quiet = (): Traffic => ({ asked: [], outstanding: 0, mostOutstanding: 0, largestBytes: 0 });
const has = (world: ManualWorld, at: number, count: number) =>
  world.machines[at]?.node?.replica.store.read({ key: "/k", end: "/l" }).count === count;

test("one chunk is under way at a time, and none is larger than a chunk and one value", async () => {
  const world = await full();
  const traffic = quiet();
  await world.join();
  spy(world, traffic);
  await world.until(() => has(world, 1, 100), "the copy");
  assert.ok(traffic.asked.length >= 15, `${traffic.asked.length} chunks`);
  assert.equal(traffic.mostOutstanding, 1);
  assert.ok(traffic.largestBytes < 16_384 + 4000 + 2048, `${traffic.largestBytes} bytes`);
});

test("a receiver that is cut off in the middle goes on where it was", async () => {
  const world = await full();
  const traffic = quiet();
  await world.join();
  spy(world, traffic);
  await world.until(() => traffic.asked.length >= 8, "the first half");
  world.isolated.add(1);
  for (const [at, other] of [
    [0, 1],
    [1, 0],
  ] as const) {
    const lost = parseMemberId(world.machines[other]?.member.id ?? "");
    world.machines[at]?.events?.onUnreachable(lost);
  }
  await world.run(4000);
  world.isolated.delete(1);
  await world.until(() => has(world, 1, 100), "the copy");
  assert.equal(traffic.asked.filter((after) => after === 0).length, 1, "it began once");
});

test("a sender that restarts has forgotten the snapshot: the receiver gets a new one", async () => {
  const world = await full();
  const traffic = quiet();
  await world.join();
  spy(world, traffic);
  await world.until(() => traffic.asked.length >= 8, "the first half");
  world.kill(0);
  await world.run(1000);
  assert.ok(!has(world, 1, 100));
  world.start(0);
  await world.until(() => has(world, 1, 100), "the copy");
});

test("a receiver whose disk is full keeps its state and gets the snapshot when there is room", async () => {
  const world = await full();
  await world.join();
  await world.until(() => has(world, 1, 100), "the first copy");
  world.isolated.add(1);
  for (let at = 100; at < 200; at++) await world.during(world.node(0).backend.transact(put(`/k${at}`)));
  await world.until(() => world.node(0).replica.log.firstIndex > 150, "a short log");
  let refused = 0;
  let isFull = true;
  const state: StateDirectory | undefined = world.machines[1]?.state;
  assert.ok(state !== undefined);
  const receive = state.receive.bind(state);
  state.receive = () => {
    const writer = receive();
    const { page_count: pages } = writer.database.prepare("PRAGMA page_count").get() as {
      page_count: number;
    };
    const flush = writer.flush.bind(writer);
    if (isFull && refused % 2 === 0) writer.database.exec(`PRAGMA max_page_count = ${pages + 10}`);
    writer.flush = () => {
      if (isFull) throw Object.assign(new Error("database or disk is full"), { errcode: 13 });
      flush();
    };
    refused++;
    return writer;
  };
  world.isolated.delete(1);
  await world.until(() => refused >= 4, "four refusals");
  assert.ok(has(world, 1, 100), "the old state is still there");
  assert.deepEqual(world.machines[1]?.fatal, []);
  isFull = false;
  await world.until(() => has(world, 1, 200), "the second copy");
  assert.deepEqual(world.machines[1]?.fatal, []);
});
