import assert from "node:assert/strict";
import test from "node:test";
import { Scenario } from "./scenario.ts";

function play(lines: string[], scenario = new Scenario()): Scenario {
  for (const line of lines) scenario.run(line);
  return scenario;
}

test("an election of a member that lacks a committed entry is noticed", () => {
  const scenario = play(["members 1 2 3", "elect 1", "isolate 3", "propose 1 a", "crash 1", "heal"]);
  // As if voters did not compare logs.
  scenario.member("2").running.raft.log.isUpToDate = () => true;
  play(["forget-leader 2"], scenario);
  assert.throws(() => scenario.run("campaign 3"), /the leader of term 2 has entry 2/);
});

test("a commit of what is on no quorum's disks is noticed", () => {
  const scenario = play(["members 1 2 3", "elect 1", "isolate 1", "propose 1 a"]);
  scenario.member("1").running.raft.log.commitTo(2);
  assert.throws(() => scenario.run("status"), /entry 2@1 was on a quorum's disks/);
});

test("an acknowledgement of what is on no disk is noticed", () => {
  const scenario = play(["members 1 2 3", "elect 1", "stall 2"]);
  scenario.member("1").running.raft.tracker.progress.get(2)?.acknowledge(2);
  assert.throws(() => scenario.run("propose 1 a"), /2 has 2@1 on its disk/);
});

test("two votes in one term are noticed", () => {
  const scenario = play(["members 1 2 3", "campaign 1"]);
  const { raft } = scenario.member("3").running;
  raft.vote = 2;
  assert.throws(() => scenario.run("propose 1 a"), /3 votes once in term 1/);
});

test("states that differ are noticed", () => {
  const scenario = play(["members 1 2", "elect 1", "propose 1 a"]);
  const member = scenario.member("2");
  member.state = { ...member.state, texts: ["b"] };
  assert.throws(() => scenario.run("propose 1 c"), /the states at index 2 are equal/);
});

test("expectations that don't hold, refusals that don't come and unknown words are errors", () => {
  const scenario = play(["members 1 2 3", "elect 1"]);
  for (const [line, message] of [
    ["expect leader 2", /the leader is 2, not 1/],
    ["expect no leader", /the leader is nobody, not 1/],
    ["expect commit 1 7", /expected commit 1 7, found 1/],
    ["expect joint 1", /expected joint 1, found false/],
    ["expect answered 1 x", /found the contrary/],
    ["expect nonsense 1", /unknown expectation/],
    ["refused propose 1 a", /"propose 1 a" is refused/],
    ["elect 9", /there is a member 9/],
    ["dance 1", /unknown command dance/],
    ["cut 1+2", /no link/],
  ] as const) {
    assert.throws(() => scenario.run(line), message, line);
  }
});
