/** What a faulty peer can do with raft's messages: nothing but be refused. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Message } from "#raft/types.ts";
import { encodeFrame } from "./frames.ts";
import { ManualWorld } from "./manual-world.fixture.ts";
import { parseMemberId } from "./member-id.ts";

const none = new Uint8Array(0);

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
    world.machines[0]?.events?.onFrame(
      peer,
      encodeFrame({ type: "raft", messages: [message] }),
      () => undefined,
    );
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
