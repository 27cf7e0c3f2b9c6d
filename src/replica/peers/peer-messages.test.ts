/** What a faulty peer can do with raft's messages: nothing but be refused. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Message } from "#raft/types.ts";
import { encodeFrame } from "./frames.ts";
import { ManualWorld } from "../manual-world.fixture.ts";
import { parseMemberId } from "../member-id.ts";
import { Refusals } from "./refusals.ts";

const none = new Uint8Array(0);

/** Three members, the first of which leads; tells the second, a follower, what the leader never said. */
async function lied(
  tell: (victim: number, leader: number, term: number, last: number, voters: number[]) => Message,
): Promise<ManualWorld> {
  const world = new ManualWorld(5);
  world.bootstrap();
  await world.until(() => world.leader() === 0, "a leader");
  await world.join();
  await world.join();
  await world.until(() => world.node(0).replica.confState.voters.length === 3, "three voters");
  await world.run(500);
  const [leader, victim] = world.machines.map(({ member }) => parseMemberId(member.id));
  assert.ok(victim !== undefined && leader !== undefined);
  const { log, confState } = world.node(1).replica;
  const { term } = world.node(0).replica.leadership;
  const message = tell(victim, leader, term, log.lastIndex, confState.voters);
  world.machines[1]?.events?.onFrame(leader, encodeFrame({ type: "raft", messages: [message] }), () => false);
  await world.run(2000);
  assert.equal(world.node(1).replica.stopped, true);
  assert.deepEqual([world.machines[0]?.fatal, world.machines[2]?.fatal], [[], []]);
  await world.during(world.node(0).backend.transact({ compare: [], success: [], failure: [] }));
  return world;
}

test("a heartbeat that calls committed what this log does not have ends this replica in order", async () => {
  const world = await lied((to, from, term, last) => ({
    type: "heartbeat",
    to,
    from,
    term,
    commit: last + 10,
  }));
  const fatal = world.machines[1]?.fatal ?? [];
  assert.equal(fatal.length, 1);
  assert.match(
    fatal[0]?.message ?? "",
    /^the heartbeat of member 000000000000a001 contradicts this member's log/,
  );
});

test("a committed change that can't be applied ends this replica in order", async () => {
  const world = await lied((to, from, term, last, voters) => {
    const changes = voters.map((nodeId) => ({ type: "remove" as const, nodeId }));
    const confChange = { transition: "auto" as const, changes, context: none };
    const entry = { index: last + 1, term, type: "confChange" as const, data: none, confChange };
    return { type: "append", to, from, term, index: last, logTerm: term, entries: [entry], commit: last + 1 };
  });
  const fatal = world.machines[1]?.fatal ?? [];
  assert.equal(fatal.length, 1);
  assert.match(fatal[0]?.message ?? "", /removed all voters/);
});

test("what is refused is logged at a limited rate", () => {
  let now = 0;
  const said: Record<string, unknown>[] = [];
  const clock = { nowMs: () => now, monotonicMs: () => now, setTimer: () => ({ cancel: () => undefined }) };
  const warn = (_: string, fields?: Record<string, unknown>) => void said.push(fields ?? {});
  const refusals = new Refusals(clock, { debug: warn, info: warn, warn, error: warn });
  for (let at = 0; at < 1000; at++) refusals.say("refused", { at });
  assert.equal(said.length, 5);
  now = 10_000;
  refusals.say("refused", { at: 1000 });
  assert.deepEqual(said.at(-1), { at: 1000, leftOut: 995 });
  refusals.say("refused", { at: 1001 });
  assert.deepEqual(said.at(-1), { at: 1001 });
});

test("frames that can't be read, in part or as a whole, are refused", async () => {
  const world = new ManualWorld(5);
  world.bootstrap();
  await world.until(() => world.leader() === 0, "a leader");
  const frames = [
    Uint8Array.from([255, 1, 2]),
    new Uint8Array(0),
    encodeFrame({ type: "report", text: "{" }),
    encodeFrame({ type: "session", session: 1, toServer: true, body: Uint8Array.from([1, 0, 255]) }),
  ];
  for (const frame of frames) world.machines[0]?.events?.onFrame(99, frame, () => false);
  await world.run(1000);
  assert.deepEqual(world.machines[0]?.fatal, []);
  assert.equal(world.leader(), 0);
});

test("malformed messages of a peer are refused, and the replica goes on", async () => {
  const world = new ManualWorld(5);
  world.bootstrap();
  await world.until(() => world.leader() === 0, "a leader");
  await world.join();
  await world.until(() => world.node(1).replica.confState.voters.length > 0, "a second member");
  const [victim, peer] = world.machines.map(({ member }) => parseMemberId(member.id));
  assert.ok(victim !== undefined && peer !== undefined);
  const { term } = world.node(0).replica.leadership;
  const entry = { index: 10 ** 6, term, type: "normal" as const, data: none };
  const faulty: Message[] = [
    // Without a term it would pass for the leader's own.
    { type: "append", to: victim, from: peer, index: 0, logTerm: 0, entries: [entry], commit: 10 ** 6 },
    { type: "vote", to: victim, from: peer },
    { type: "vote", to: victim, from: peer, term: 2 ** 52, index: 1, logTerm: 1, context: "transfer" },
    { type: "append", to: victim, from: peer, term: term + 1, index: 0, logTerm: 0, entries: [entry] },
    { type: "propose", to: victim, from: peer },
    { type: "snapshot", to: victim, from: peer, term: term + 1 },
    {
      type: "snapshot",
      to: victim,
      from: peer,
      term: term + 1,
      snapshot: {
        metadata: {
          index: 10 ** 6,
          term,
          confState: { voters: [], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false },
        },
        token: "t",
      },
    },
    { type: "heartbeat", to: 77, from: peer, term: term + 1 },
    { type: "heartbeat", to: victim, from: 77, term: term + 1 },
  ];
  for (const message of faulty) {
    world.machines[0]?.events?.onFrame(peer, encodeFrame({ type: "raft", messages: [message] }), () => false);
  }
  await world.run(100);
  assert.deepEqual(world.machines[0]?.fatal, []);
  assert.equal(world.node(0).replica.leadership.term, term, "no term was taken up");
  assert.equal(world.leader(), 0);
  await world.during(
    world.node(1).backend.transact({
      compare: [],
      success: [{ type: "put", key: "/k", value: none }],
      failure: [],
    }),
  );
});
