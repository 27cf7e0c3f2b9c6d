import assert from "node:assert/strict";
import { test } from "node:test";
import { SilentPeers } from "./silent-peers.ts";

test("a peer is taken for dead when it has been silent without a break for longer than a restart takes", () => {
  let nowMs = 1000;
  const clock = { monotonicMs: () => nowMs, nowMs: () => 0, setTimer: () => ({ cancel: () => undefined }) };
  const peers = new SilentPeers(clock);
  const note = (online: boolean, ready = true) => peers.note({ ready, members: [{ name: "b", online }] });
  assert.equal(peers.isAlive("b"), undefined);
  note(false);
  nowMs += 4000;
  note(false);
  assert.equal(peers.isAlive("b"), true);
  nowMs += 1000;
  assert.equal(peers.isAlive("b"), false);
  assert.equal(peers.isAlive("c"), undefined, "nobody knows it");
  note(true);
  assert.equal(peers.isAlive("b"), true);
  note(false);
  nowMs += 4000;
  note(false, false);
  assert.equal(peers.isAlive("b"), undefined, "nobody leads");
  note(false);
  nowMs += 4000;
  assert.equal(peers.isAlive("b"), true, "its time counts anew");
});
