import assert from "node:assert/strict";
import { test } from "node:test";
import { ReadOnly } from "./read-only.ts";

const leader = 1;
const follower = 2;
const voters = { incoming: new Set([leader, follower, 3]), outgoing: new Set<number>() };

test("a round that is lost is made up for by the next one, though one voter of three is gone", () => {
  const reads = new ReadOnly();
  reads.add({ from: leader, context: "a" }, 7);
  reads.startRound(leader);
  reads.startRound(leader);
  const confirmed = reads.acknowledge(follower, reads.currentRound, voters);
  assert.deepEqual(
    confirmed.map(({ context, index }) => [context, index]),
    [["a", 7]],
  );
  assert.equal(reads.isRoundUnderWay, false);
});

test("an answer to an earlier round confirms nothing that came after it", () => {
  const reads = new ReadOnly();
  reads.add({ from: leader, context: "a" }, 7);
  reads.startRound(leader);
  reads.add({ from: follower, context: "b" }, 8);
  assert.equal(reads.acknowledge(follower, 1, voters).length, 1);
  assert.ok(reads.needsRound);
  reads.startRound(leader);
  assert.equal(reads.acknowledge(3, 1, voters).length, 0);
  assert.equal(reads.acknowledge(3, 2, voters).length, 1);
});

test("an answer to a round that was never sent confirms nothing, now or later", () => {
  const reads = new ReadOnly();
  reads.add({ from: leader, context: "a" }, 7);
  reads.startRound(leader);
  assert.equal(reads.acknowledge(follower, 5, voters).length, 0);
  reads.startRound(leader);
  assert.equal(reads.acknowledge(leader, 2, voters).length, 0, "the follower has answered neither round");
  assert.equal(reads.acknowledge(follower, Number.NaN, voters).length, 0);
  assert.equal(reads.acknowledge(follower, 2, voters).length, 1);
});
