import assert from "node:assert/strict";
import { test } from "node:test";
import { HouseKeeping } from "./house-keeping.ts";

/** A state whose disk is full for a while, with history to remove. */
function household() {
  const state = {
    steps: 0,
    error: undefined as Error | undefined,
    held: false,
    durableIndex: 0,
    store: {
      compactionPending: true,
      compactStep() {
        state.steps++;
        if (state.error !== undefined) throw state.error;
      },
    },
  };
  const quiet = {
    node: { raft: { role: "follower" }, status: () => ({ progress: new Map() }) },
    log: { entriesBytes: 0, lastIndex: 0, firstIndex: 1 },
    sender: { tick: () => undefined },
  };
  return { state, keeping: new HouseKeeping({ ...quiet, state, keptLogBytes: 1 << 20 } as never) };
}

test("a full disk puts the removal of old history off, and nothing else comes of it", () => {
  const { state, keeping } = household();
  state.error = Object.assign(new Error("database or disk is full"), { errcode: 13 });
  for (let tick = 0; tick < 10; tick++) keeping.tick(true);
  assert.equal(state.steps, 1, "it is not tried again at once");
  state.error = undefined;
  for (let tick = 0; tick < 40; tick++) keeping.tick(true);
  assert.ok(state.steps > 15, "with room it goes on");
});

test("another error of the state is not kept quiet", () => {
  const { state, keeping } = household();
  state.error = Object.assign(new Error("database disk image is malformed"), { errcode: 11 });
  assert.throws(() => keeping.tick(true), /malformed/);
});
