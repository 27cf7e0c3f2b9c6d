/** What the leader remembers of forwarded proposals. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeProposal, ForwardedOnce } from "./proposals.ts";

const proposal = (sequence: number) =>
  encodeProposal({ life: 7, sequence, command: { type: "note", timeMs: 0, name: "a", value: "b" } });

test("a forwarded proposal is taken once, however late a copy of it comes", () => {
  const once = new ForwardedOnce();
  assert.ok(once.take(1, 1, proposal(1)));
  assert.ok(!once.take(1, 1, proposal(1)));
  assert.ok(once.take(1, 1, proposal(2)));
  // Its sender has the answer to the first: nothing below 2 is outstanding any more.
  assert.ok(once.take(1, 2, proposal(3)));
  assert.ok(!once.take(1, 1, proposal(1)), "a copy that an old connection held back");
  assert.ok(!once.take(1, 1, proposal(2)));
  assert.ok(once.take(1, 2, proposal(4)));
});

test("what raft refused may be sent again", () => {
  const once = new ForwardedOnce();
  assert.ok(once.take(1, 1, proposal(1)));
  once.forget(proposal(1));
  assert.ok(once.take(1, 1, proposal(1)));
});
