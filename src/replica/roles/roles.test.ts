/** The roles planner, decision by decision. A cluster is drawn as a line: `V` voter, `S` standby, `-` spare; small letters are silent; `*` leads. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { RoleChange, RoleMember, RoleView } from "./roles.ts";
import { requiredStableMs } from "./role-candidates.ts";
import { planRemoval, planRoles, wantedVoters } from "./roles.ts";

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

  test("a node that came back has to answer for a while before it is given a part, longer after each outage", () => {
    const returned = (outages: number, stableMs: number): RoleView => {
      const drawn = view("V* v V S");
      for (const member of drawn.members)
        if (member.role === "standby") Object.assign(member, { outages, stableMs });
      return drawn;
    };
    assert.equal(planRoles(returned(1, 9_000)), undefined);
    assert.equal(describeChange(planRoles(returned(1, 10_000))), "3->V 1->S");
    assert.equal(planRoles(returned(3, 39_000)), undefined);
    assert.equal(describeChange(planRoles(returned(3, 40_000))), "3->V 1->S");
    assert.equal(requiredStableMs(0) < 1000, true, "a new node needs not wait");
    assert.equal(requiredStableMs(50), 300_000);
  });

  test("of two equal standbys, the one without outages is chosen", () => {
    const drawn = view("V* v V S S");
    Object.assign(drawn.members[3] ?? {}, { outages: 1 });
    assert.equal(describeChange(planRoles(drawn)), "4->V 1->S");
  });

  test("a voter is not replaced right after another change", () => {
    assert.equal(planRoles(view("V* v V S", { sinceChangeMs: 4_000 })), undefined);
  });

  test("domains: a swap must make the fullest one emptier, a fuller standby set gives way to a new domain", () => {
    assert.equal(planRoles(view("V* V V S", {}, ["a", "a", "b", "b"])), undefined);
    assert.equal(describeChange(planRoles(view("V* V V S", {}, ["a", "a", "a", "b"]))), "3->V 2->S");
    assert.equal(
      planRoles(view("V* V V S", {}, ["a", "a", "b", ""])),
      undefined,
      "no domain is no better one",
    );
    const six = ["a", "b", "c", "a", "a", "a", "d"];
    assert.equal(describeChange(planRoles(view("V* V V S S S -", {}, six))), "5->- 6->S");
  });

  describe("witnesses (w in the list of places)", () => {
    const cases: [title: string, drawing: string, witnesses: number[], expected: string][] = [
      ["with two nodes and a witness, all three vote", "V* S S", [2], "1->V 2->V"],
      ["one node and two witnesses stay one voter", "V* S S", [1, 2], ""],
      ["two nodes and two witnesses: one witness votes", "V* S S S", [1, 2], "3->V 1->V"],
      ["full nodes are preferred", "V* S S S", [1], "2->V 3->V"],
      ["a witness takes a dead voter's place", "V* v V S", [3], "3->V 1->S"],
      ["but not where witnesses would outnumber the others", "V* v V S", [2, 3], ""],
      ["it gets a copy beyond the three standbys", "V* V V S S S -", [6], "6->S"],
      ["it counts as no standby", "V* V V S S S -", [5], "6->S"],
    ];
    for (const [title, drawing, witnesses, expected] of cases)
      test(`${drawing}: ${title}`, () => {
        const drawn = view(drawing);
        for (const at of witnesses) Object.assign(drawn.members[at] ?? {}, { witness: true });
        assert.equal(describeChange(planRoles(drawn)), expected);
      });
  });

  describe("planRemoval", () => {
    const cases: [drawing: string, id: string, expected: string][] = [
      ["V* V V S", "1", "3->V 1->-"],
      ["V* V V", "1", "2->S 1->-"],
      ["V* V V s", "1", "2->S 1->-"],
      ["V* V V S", "3", "3->-"],
      ["V* S -", "2", ""],
      ["V* V V V V", "4", "3->S 4->-"],
    ];
    for (const [drawing, id, expected] of cases)
      test(`${drawing}: ${id} leaves`, () => {
        const changes = planRemoval(view(drawing), id);
        assert.equal(describeChange({ changes, reason: "VoterDemoted", subjects: [], text: "" }), expected);
      });
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
