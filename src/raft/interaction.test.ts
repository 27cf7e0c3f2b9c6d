import assert from "node:assert/strict";
import test from "node:test";
import { parseDatadriven } from "./testing/datadriven.ts";
import { goldenFiles, goldenSkip } from "./testing/golden.test-suite.ts";
import { Interaction } from "./testing/interaction.ts";

// Compared in full but for log lines, whose wording is each implementation's own.
test("golden: interaction transcripts match", { skip: goldenSkip }, async (t) => {
  const files = goldenFiles("testdata");
  assert.equal(files.length, 20);
  for (const { name, text } of files) {
    await t.test(name, () => {
      const interaction = new Interaction();
      for (const directive of parseDatadriven(text)) {
        const expected = withoutLogLines(directive.expected);
        const actual = interaction.run(directive);
        assert.equal(
          actual,
          expected === "ok" ? "" : expected,
          `${name}:${directive.line} ${directive.command}`,
        );
      }
    });
  }
});

function withoutLogLines(text: string): string {
  return text
    .split("\n")
    .filter((line) => !/^ *(DEBUG|INFO|WARN|ERROR) /.test(line))
    .join("\n");
}
