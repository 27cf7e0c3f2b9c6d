import assert from "node:assert/strict";
import { test } from "node:test";

import { RulesetApplier } from "./ruleset-applier.ts";
import { emptyRuleset } from "./ruleset.ts";
import type { Ruleset } from "./ruleset.ts";

const logger = { debug() {}, info() {}, warn() {}, error() {} };
const table = "ip test";

function withRule(rule: string): Ruleset {
  return { ...emptyRuleset(table), chains: new Map([["all", { rules: [rule] }]]) };
}

/** A kernel that knows only whether the table exists, and what it was told. */
function fakeNft() {
  const nft = { exists: false, refuse: false, applied: [] as string[] };
  const run = async (_command: string, args: readonly string[], input = "") => {
    if (args[0] === "list") return nft.exists ? `table ${table}\n` : "";
    if (nft.refuse) throw new Error("refused");
    nft.applied.push(input);
    nft.exists = true;
    return "";
  };
  return { nft, applier: new RulesetApplier(run, logger) };
}

test("first the whole table, then only what differs, then nothing", async () => {
  const { nft, applier } = fakeNft();
  await applier.apply(withRule("accept"));
  await applier.apply(withRule("drop"));
  await applier.apply(withRule("drop"));
  assert.equal(nft.applied.length, 2);
  assert.match(nft.applied[0]!, /delete table ip test/);
  assert.equal(nft.applied[1], "flush chain ip test all\nadd rule ip test all drop\n");
});

test("after a refusal, or when someone removed the table, the whole table again", async () => {
  const { nft, applier } = fakeNft();
  await applier.apply(withRule("accept"));
  nft.refuse = true;
  await assert.rejects(applier.apply(withRule("drop")));
  nft.refuse = false;
  await applier.apply(withRule("drop"));
  assert.match(nft.applied.at(-1)!, /delete table ip test/);
  nft.exists = false;
  await applier.apply(withRule("drop"));
  assert.equal(nft.applied.length, 3);
});
