import assert from "node:assert/strict";
import test from "node:test";
import {
  jointCommittedIndex,
  jointVoteResult,
  majorityCommittedIndex,
  majorityVoteResult,
  voterIds,
} from "./quorum.ts";
import { parseDatadriven } from "./testing/datadriven.ts";
import type { Directive } from "./testing/datadriven.ts";
import { goldenFiles, goldenSkip } from "./testing/golden.test-suite.ts";

test("golden: quorum scenarios match to the letter", { skip: goldenSkip }, async (t) => {
  const files = goldenFiles("quorum/testdata");
  assert.equal(files.length, 3);
  for (const { name, text } of files) {
    await t.test(name, () => {
      for (const directive of parseDatadriven(text)) {
        assert.equal(run(directive).trimEnd(), directive.expected, `${name}:${directive.line}`);
      }
    });
  }
});

test("a joint quorum needs both majorities", () => {
  const voters = { incoming: new Set([1, 2, 3]), outgoing: new Set([3, 4]) };
  const votes = new Map([
    [1, true],
    [2, true],
  ]);
  assert.equal(jointVoteResult(voters, votes), "pending");
  votes.set(3, true).set(4, true);
  assert.equal(jointVoteResult(voters, votes), "won");
  votes.set(4, false);
  assert.equal(jointVoteResult(voters, votes), "lost");
  assert.equal(
    jointCommittedIndex(voters, (id) => (id === 4 ? undefined : 10)),
    0,
  );
});

const resultNames = { pending: "VotePending", won: "VoteWon", lost: "VoteLost" };

function run({ command, options }: Directive): string {
  const configuration = ids(options.get("cfg"));
  const joined = options.get("cfgj");
  const outgoing = joined?.[0] === "zero" ? [] : ids(joined);
  const voters = { incoming: new Set(configuration), outgoing: new Set(outgoing) };
  const known = assign([...configuration, ...outgoing], options.get("idx") ?? options.get("votes") ?? []);
  if (command === "vote") {
    const votes = new Map([...known].map(([id, vote]) => [id, vote === "y"]));
    const result = jointVoteResult(voters, votes);
    if (joined === undefined) assert.equal(majorityVoteResult(voters.incoming, votes), result);
    return resultNames[result];
  }
  assert.equal(command, "committed");
  const acknowledged = (id: number): number | undefined =>
    known.has(id) ? Number(known.get(id)) : undefined;
  const index = jointCommittedIndex(voters, acknowledged);
  if (joined === undefined) assert.equal(majorityCommittedIndex(voters.incoming, acknowledged), index);
  const swapped = { incoming: voters.outgoing, outgoing: voters.incoming };
  assert.equal(jointCommittedIndex(swapped, acknowledged), index);
  return `${describe(voterIds(voters), acknowledged)}${index === Infinity ? "∞" : index}`;
}

function ids(values: string[] = []): number[] {
  return values.map(Number);
}

/** Values go to the distinct ids in the order in which they are first named; _ is no value. */
function assign(order: number[], values: string[]): Map<number, string> {
  const known = new Map<number, string>();
  for (const [position, id] of [...new Set(order)].entries()) {
    const value = values[position];
    assert.ok(value !== undefined, "there is a value for every voter");
    if (value !== "_") known.set(id, value);
  }
  return known;
}

/** A bar per voter: as long as the number of voters with smaller indexes. */
function describe(voters: number[], acknowledged: (id: number) => number | undefined): string {
  if (voters.length === 0) return "<empty majority quorum>";
  const all = voters.map((id) => acknowledged(id) ?? 0);
  const rows = voters.map((id) => {
    const index = acknowledged(id);
    const smaller = all.filter((other) => other < (index ?? 0)).length;
    const bar = index === undefined ? "?" : `${"x".repeat(smaller)}>`;
    return `${bar.padEnd(voters.length + 1)} ${String(index ?? 0).padStart(5)}    (id=${id})\n`;
  });
  return `${" ".repeat(voters.length)}    idx\n${rows.join("")}`;
}
