/** Who goes on after the loss of a majority, and when nobody may. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "#base/errors.ts";
import type { HttpRequest } from "#base/http.ts";
import type { Survey } from "./recovery.ts";
import { createRecoveryRoute, planRecovery } from "./recovery.ts";

function survey(name: string, change: Partial<Survey> & { count?: number } = {}): Survey {
  const { count = 3, ...rest } = change;
  const names = Array.from({ length: count }, (_, at) => `n${at + 1}`);
  return {
    memberId: `id-${name}`,
    clusterId: "c",
    lastIndex: 10,
    lastTerm: 2,
    term: 2,
    committedIndex: 10,
    revision: 8,
    voters: names.map((each) => `id-${each}`),
    members: names.map((each) => ({
      id: `id-${each}`,
      name: each,
      address: `${each}:1`,
      apiAddress: `${each}:2`,
      failureDomain: "",
      witness: false,
    })),
    ready: false,
    leaderId: undefined,
    ...rest,
  };
}

const names = (members: { name: string }[]) => members.map(({ name }) => name);

test("the last of three goes on", () => {
  const plan = planRecovery([survey("n2", { term: 7 })]);
  assert.equal(plan.newest.name, "n2");
  assert.deepEqual(names(plan.lost), ["n1", "n3"]);
  assert.deepEqual([plan.lostVoters, plan.voters, plan.term], [2, 3, 8]);
});

test("of several survivors the one with the newest term, then the longest log, goes on", () => {
  const five = { count: 5 };
  const older = survey("n1", { ...five, lastTerm: 2, lastIndex: 99 });
  const newer = survey("n4", { ...five, lastTerm: 3, lastIndex: 50, term: 3 });
  assert.equal(planRecovery([older, newer]).newest.name, "n4");
  const longer = survey("n5", { ...five, lastTerm: 3, lastIndex: 51 });
  const plan = planRecovery([newer, longer]);
  assert.equal(plan.newest.name, "n5");
  assert.deepEqual(names(plan.others), ["n4"]);
  assert.deepEqual(names(plan.lost), ["n1", "n2", "n3"]);
  assert.equal(plan.term, 4);
});

test("a standby may go on when no voter is left, and a spare's news don't count as votes", () => {
  const voters = { voters: ["id-n1", "id-n2", "id-n3"], count: 4 };
  const plan = planRecovery([survey("n4", voters)]);
  assert.equal(plan.newest.name, "n4");
  assert.equal(plan.lostVoters, 3);
});

test("refused: a majority answers, somebody is served, or the survivor was removed", () => {
  const refusals: [Survey[], RegExp][] = [
    [[survey("n1"), survey("n2")], /2 of 3 voters answer, which is a majority/],
    [[survey("n1"), survey("n2", { ready: true })], /n2 reaches a majority/],
    [[survey("gone")], /no member of its cluster any more/],
  ];
  for (const [surveys, message] of refusals) {
    assert.throws(
      () => planRecovery(surveys),
      (error: unknown) =>
        error instanceof StatusError && error.reason === "Conflict" && message.test(error.message),
    );
  }
});

test("a witness that is alive counts as a vote", () => {
  assert.throws(() => planRecovery([survey("n1")], ["id-n3"]), /2 of 3 voters answer/);
  const plan = planRecovery([survey("n1", { count: 5 })], ["id-n3"]);
  assert.deepEqual(names(plan.others), ["n3"]);
});

test("members of another cluster are not counted as alive", () => {
  const plan = planRecovery([survey("n1", { lastIndex: 20 }), survey("n2", { clusterId: "other" })]);
  assert.equal(plan.newest.name, "n1");
  assert.deepEqual(names(plan.lost), ["n2", "n3"]);
});

test("the route is the administrators' alone and refuses what it can't read", async () => {
  const asked: unknown[] = [];
  const route = createRecoveryRoute({
    survey: async () => survey("n1"),
    recover: async (request) => void asked.push(request),
  });
  const request = (method: string, body: string, groups: string[]): HttpRequest => ({
    method,
    path: "/trivet/v1/recovery",
    query: "",
    headers: {},
    body: Buffer.from(body),
    signal: new AbortController().signal,
    user: { name: "somebody", groups },
  });
  const masters = ["system:masters"];
  assert.equal((await route(request("GET", "", []))).status, 403);
  assert.equal((await route(request("POST", '{"term":4,"lost":[]}', ["system:nodes"]))).status, 403);
  assert.equal((await route(request("POST", "{", masters))).status, 400);
  assert.equal((await route(request("POST", '{"term":"4"}', masters))).status, 400);
  assert.equal((await route(request("GET", "", masters))).status, 200);
  assert.deepEqual(asked, []);
  assert.equal((await route(request("POST", '{"term":4,"lost":["n2"]}', masters))).status, 200);
  assert.deepEqual(asked, [{ term: 4, lost: ["n2"] }]);
});
