/** The roles planner, decision by decision. A cluster is drawn as a line: `V` voter, `S` standby, `-` spare; small letters are silent; `*` leads. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { RoleChange, RoleMember, RoleView } from "./roles.ts";
import { planRoles, wantedVoters } from "./roles.ts";

const targets = { voters: 3, standbys: 3, unresponsiveMs: 10_000 };

function view(drawing: string, more: Partial<RoleView> = {}, domains: string[] = []): RoleView {
  const members = drawing.split(" ").map((word, at): RoleMember => {
    const letter = word.replace("*", "");
    const role = letter.toUpperCase() === "V" ? "voter" : letter.toUpperCase() === "S" ? "standby" : "spare";
    const silent = letter !== letter.toUpperCase() || letter === "_";
    return {
      id: `${at}`,
      name: `n${at}`,
      role,
      silentMs: silent ? 12_000 : 0,
      stableMs: silent ? 0 : 60_000,
      outages: 0,
      caughtUp: role !== "spare",
      failureDomain: domains[at] ?? "",
      witness: false,
      isLeader: word.includes("*"),
    };
  });
  return { members, targets, changing: false, sinceChangeMs: 60_000, ...more };
}

function describeChange(change: RoleChange | undefined): string {
  const words = { addVoter: "V", addLearner: "S", remove: "-" };
  return change === undefined ? "" : change.changes.map(({ type, id }) => `${id}->${words[type]}`).join(" ");
}

const decisions: [title: string, drawing: string, expected: string][] = [
  ["one node has nothing to do", "V*", ""],
  ["the second node gets a copy", "V* -", "1->S"],
  ["two nodes are one voter and one standby: two voters survive no more", "V* S", ""],
  ["with the third, both standbys become voters in one step", "V* S S", "1->V 2->V"],
  ["the fourth is a standby", "V* V V -", "3->S"],
  ["four are three voters and a standby", "V* V V S", ""],
  ["eight are three voters, three standbys, two spares", "V* V V S S S - -", ""],
  ["a silent voter is swapped for a standby", "V* v V S", "3->V 1->S"],
  ["a silent voter stays where nobody can take its place", "V* v V", ""],
  ["a silent standby takes nobody's place", "V* v V s", ""],
  ["without a majority that lives, nothing is decided", "V* v v S", ""],
  ["the standby's own place is filled by a spare", "V* V V s S S -", "3->- 6->S"],
  ["a victim that makes four standbys lets the silent one go", "V* V V s S S S", "3->-"],
  ["an even number of voters after a removal: one becomes standby", "V* V", "1->S"],
  ["an even number of voters and a standby: it is promoted", "V* V S", "2->V"],
  ["surplus voters step back two at a time, the silent one first", "V* V V v V", "3->S 4->S"],
];

describe("planRoles", () => {
  for (const [title, drawing, expected] of decisions) {
    test(`${drawing}: ${title}`, () => {
      const change = planRoles(view(drawing));
      assert.equal(describeChange(change), expected);
      if (change !== undefined) assert.match(change.text, /^n\d /);
    });
  }

  test("nothing while a change is under way, or right after one", () => {
    assert.equal(planRoles(view("V* -", { changing: true })), undefined);
    assert.equal(planRoles(view("V* -", { sinceChangeMs: 100 })), undefined);
  });

  test("a standby that has not caught up is not promoted", () => {
    const lagging = view("V* v V S");
    for (const member of lagging.members) if (member.role === "standby") member.caughtUp = false;
    assert.equal(planRoles(lagging), undefined);
  });

  test("of several standbys, one in a failure domain without a voter is chosen", () => {
    const change = planRoles(view("V* v V S S", {}, ["a", "b", "c", "a", "d"]));
    assert.equal(describeChange(change), "4->V 1->S");
  });

  test("voters spread over failure domains, but not soon after another change", () => {
    const domains = ["a", "a", "b", "c"];
    assert.equal(describeChange(planRoles(view("V* V V S", {}, domains))), "3->V 1->S");
    assert.equal(planRoles(view("V* V V S", { sinceChangeMs: 5000 }, domains)), undefined);
  });

  test("the text says who replaced whom and why", () => {
    assert.equal(
      planRoles(view("V* v V S"))?.text,
      "n3 became a voter in place of n1, which has not answered for 12 s",
    );
  });

  test("whatever the cluster is, repeated decisions come to rest, keep a live majority and never touch the leader", () => {
    const member = fc.constantFrom("V", "S", "-", "v", "s", "_");
    fc.assert(
      fc.property(fc.array(member, { maxLength: 9 }), (others) => {
        const present = view(["V*", ...others].join(" "));
        const voters = present.members.filter(({ role }) => role === "voter");
        // Without a live majority there is no leader, and so no decision.
        fc.pre(voters.filter(({ silentMs }) => silentMs === 0).length * 2 > voters.length);
        for (let round = 0; ; round++) {
          assert.ok(round < 30, `no rest: ${JSON.stringify(present.members)}`);
          const change = planRoles(present);
          if (change === undefined) break;
          for (const { type, id } of change.changes) {
            const subject = present.members[Number(id)];
            assert.ok(subject !== undefined && !subject.isLeader);
            subject.role = type === "addVoter" ? "voter" : type === "addLearner" ? "standby" : "spare";
            subject.caughtUp = subject.role !== "spare" && subject.silentMs === 0;
          }
          const after = present.members.filter(({ role }) => role === "voter");
          const live = after.filter(({ silentMs }) => silentMs === 0).length;
          assert.ok(live * 2 > after.length, "the live voters stay a majority");
        }
      }),
      { numRuns: 500 },
    );
  });
});

test("wantedVoters is odd and within bounds", () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5, 6, 7].map((members) => wantedVoters(members, 5)),
    [1, 1, 3, 3, 5, 5, 5],
  );
});
