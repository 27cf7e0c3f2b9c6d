/**
 * The scenarios of `testdata`: stories in commands, each block followed by what it led to. `UPDATE_GOLDEN=1`
 * rewrites what follows the `----`; the expectations in the commands, and the invariants that are checked
 * after each step, stay what they are. The language is described in `testing/scenario.ts`.
 */

import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { Scenario } from "./testing/scenario.ts";

const directory = join(import.meta.dirname, "testdata");

for (const name of readdirSync(directory).sort()) {
  const path = join(directory, name);
  const recorded = readFileSync(path, "utf8");
  const title = /^# (.*)$/m.exec(recorded)?.[1] ?? "";
  test(`scenario ${name.replace(".txt", "")}: ${title}`, () => {
    const actual = play(recorded);
    if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(path, actual);
    assert.equal(actual, process.env["UPDATE_GOLDEN"] === "1" ? readFileSync(path, "utf8") : recorded);
  });
}

/** The text with the answers that the commands get now. */
function play(text: string): string {
  const scenario = new Scenario();
  const blocks = text.trimEnd().split(/\n\n+/);
  return `${blocks.map((block) => playBlock(scenario, block)).join("\n\n")}\n`;
}

function playBlock(scenario: Scenario, block: string): string {
  const lines = block.split("\n");
  const end = lines.indexOf("----");
  const asked = end < 0 ? lines : lines.slice(0, end);
  const told: string[] = [];
  for (const line of asked) {
    if (line.startsWith("#")) continue;
    try {
      told.push(...scenario.run(line));
    } catch (error) {
      throw new Error(`${line}: ${(error as Error).message}\nafter\n${told.join("\n")}`, { cause: error });
    }
  }
  return [...asked, ...(told.length > 0 ? ["----", ...told] : [])].join("\n");
}
