import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { changeSimply, ConfChangeError, enterJoint, leaveJoint, restoreMembership } from "./confchange.ts";
import type { Membership, NewMemberOptions } from "./confchange.ts";
import { parseDatadriven } from "./testing/datadriven.ts";
import type { Directive } from "./testing/datadriven.ts";
import { goldenFiles, goldenSkip } from "./testing/golden.test-suite.ts";
import { emptyConfState } from "./testing/memory-storage.ts";
import { describeProgress, parseChanges } from "./testing/transcript.ts";
import { describeConfiguration, emptyConfiguration, isJoint, toConfState } from "./tracker.ts";
import type { ConfChange } from "./types.ts";

const empty: Membership = { configuration: emptyConfiguration, progress: new Map() };

test("golden: confchange scenarios match to the letter", { skip: goldenSkip }, async (t) => {
  const files = goldenFiles("confchange/testdata");
  assert.equal(files.length, 8);
  for (const { name, text } of files) {
    await t.test(name, () => {
      let membership = empty;
      for (const [lastIndex, directive] of parseDatadriven(text).entries()) {
        let output: string;
        try {
          membership = run(directive, membership, optionsAt(lastIndex));
          output = describe(membership);
        } catch (error) {
          if (!(error instanceof ConfChangeError)) throw error;
          output = error.message;
        }
        assert.equal(output, directive.expected, `${name}:${directive.line}`);
      }
    });
  }
});

test("any reachable configuration is restored from its ConfState", () => {
  const change = fc.record({
    type: fc.constantFrom("addVoter" as const, "addLearner" as const, "remove" as const),
    nodeId: fc.integer({ min: 1, max: 6 }),
  });
  const step = fc.oneof(
    fc.record({ kind: fc.constant("simple" as const), change }),
    fc.record({ kind: fc.constant("joint" as const), changes: fc.array(change, { maxLength: 4 }) }),
    fc.record({ kind: fc.constant("leave" as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      let membership = changeSimply(empty, [{ type: "addVoter", nodeId: 1 }], optionsAt(1));
      for (const next of steps) {
        try {
          if (next.kind === "simple") membership = changeSimply(membership, [next.change], optionsAt(1));
          else if (next.kind === "leave") membership = leaveJoint(membership);
          else membership = enterJoint(membership, false, next.changes, optionsAt(1));
        } catch (error) {
          if (!(error instanceof ConfChangeError)) throw error;
        }
        const restored = restoreMembership(toConfState(membership.configuration), optionsAt(1));
        assert.equal(describe(restored), describe(membership));
      }
    }),
    { seed: 1, numRuns: 300 },
  );
});

test("a joint change and its end come to what the simple changes come to", () => {
  const changes: ConfChange["changes"] = [
    { type: "addVoter", nodeId: 2 },
    { type: "addVoter", nodeId: 3 },
    { type: "addLearner", nodeId: 4 },
  ];
  const one = restoreMembership({ ...emptyConfState, voters: [1] }, optionsAt(1));
  let simple = one;
  for (const change of changes) simple = changeSimply(simple, [change], optionsAt(1));
  const joint = enterJoint(one, true, changes, optionsAt(1));
  assert.ok(isJoint(joint.configuration));
  assert.equal(describe(leaveJoint(joint)), describe(simple));
});

test("a refused change leaves no trace", () => {
  const three = restoreMembership({ ...emptyConfState, voters: [1, 2], learners: [3] }, optionsAt(1));
  const before = describe(three);
  const changes: ConfChange["changes"] = [
    { type: "addVoter", nodeId: 3 },
    { type: "addVoter", nodeId: 4 },
  ];
  assert.throws(() => changeSimply(three, changes, optionsAt(1)), ConfChangeError);
  assert.equal(describe(three), before);
});

function run(directive: Directive, membership: Membership, options: NewMemberOptions): Membership {
  const changes = parseChanges(directive.input.join(" "));
  switch (directive.command) {
    case "simple":
      return changeSimply(membership, changes, options);
    case "enter-joint":
      return enterJoint(membership, directive.options.get("autoleave")?.[0] === "true", changes, options);
    case "leave-joint":
      return leaveJoint(membership);
    default:
      throw new Error(`unknown command ${directive.command}`);
  }
}

function describe({ configuration, progress }: Membership): string {
  return `${describeConfiguration(configuration)}\n${describeProgress(progress)}`.trimEnd();
}

function optionsAt(lastIndex: number): NewMemberOptions {
  return { lastIndex, maxInflightMessages: 10, maxInflightBytes: Infinity };
}
