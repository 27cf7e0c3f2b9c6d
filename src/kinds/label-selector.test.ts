import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFieldSelector, matchesFields } from "./field-selector.ts";
import {
  formatLabelSelector,
  matchesLabelSelector,
  matchesRequirements,
  parseLabelSelector,
} from "./label-selector.ts";

test("the string form selects as upstream does", () => {
  const labels = { app: "web", tier: "front", n: "7" };
  const cases: [string, boolean][] = [
    ["", true],
    ["app=web", true],
    ["app==web,tier!=back", true],
    ["app in (web, api)", true],
    ["tier notin (front)", false],
    ["app", true],
    ["!gone", true],
    ["!app", false],
    ["x!=1", true],
    ["n>6", true],
    ["n<7", false],
    ["app in (web),tier=front,!x", true],
    ["x notin (a)", true],
    ["app=", false],
    ["in=a", false],
  ];
  for (const [text, expected] of cases)
    assert.equal(matchesRequirements(parseLabelSelector(text), labels), expected, text);
});

test("broken selectors are refused in upstream's words", () => {
  const cases: Record<string, string> = {
    "a in (": "unable to parse requirement: found '', expected: ',', ')' or identifier",
    "a,": "found '', expected: identifier after ','",
    "=a": "found '=', expected: !, identifier, or 'end of string'",
    "a>x": `unable to parse requirement: values[0][a]: Invalid value: "x": for 'Gt', 'Lt' operators, the value must be an integer`,
  };
  for (const [text, message] of Object.entries(cases))
    assert.throws(
      () => parseLabelSelector(text),
      (error: Error) => error.message === message || assert.fail(`${text}: ${error.message}`),
    );
});

test("the object form: absent selects nothing, empty everything", () => {
  assert.equal(matchesLabelSelector(undefined, { a: "b" }), false);
  assert.equal(matchesLabelSelector({}, { a: "b" }), true);
  const selector = {
    matchLabels: { a: "b" },
    matchExpressions: [
      { key: "c", operator: "In", values: ["y", "x"] },
      { key: "d", operator: "DoesNotExist" },
    ],
  };
  assert.equal(matchesLabelSelector(selector, { a: "b", c: "x" }), true);
  assert.equal(matchesLabelSelector(selector, { a: "b", c: "x", d: "" }), false);
  assert.equal(formatLabelSelector(selector), "a=b,c in (x,y),!d");
});

test("field selectors know escapes and refuse loose equals signs", () => {
  const requirements = parseFieldSelector("metadata.name=o\\,1,status.phase!=Running,");
  assert.deepEqual(
    requirements.map((each) => [each.field, each.operator, each.value]),
    [
      ["metadata.name", "=", "o,1"],
      ["status.phase", "!=", "Running"],
    ],
  );
  assert.equal(
    matchesFields(requirements, (field) => (field === "metadata.name" ? "o,1" : "Pending")),
    true,
  );
  assert.throws(() => parseFieldSelector("metadata.name=o=1"), /unescaped character/);
  assert.throws(() => parseFieldSelector("metadata.name"), /can't understand 'metadata.name'/);
});
