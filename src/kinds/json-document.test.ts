import assert from "node:assert/strict";
import { test } from "node:test";
import { findDuplicateFields, isWithoutRepeats, parseMerging } from "./json-document.ts";

test("a repeated key is not hidden by a number that takes more room when it is written again", () => {
  const text = '{"a":1,"a":1,"n":1e8}';
  const value: unknown = JSON.parse(text);
  assert.equal(JSON.stringify(value).length, text.length);
  assert.equal(isWithoutRepeats(text, value), false);
  assert.deepEqual(findDuplicateFields(text), ["a"]);
});

test("a text as clients write it repeats nothing", () => {
  for (const text of ['{"a":[1,"x",null],"b":{"a":true}}', '{"a":1}\n', "[]"])
    assert.equal(isWithoutRepeats(text, JSON.parse(text)), true);
});

test("repeated objects are merged, of repeated values the last one counts", () => {
  assert.deepEqual(parseMerging('{"m":{"a":1,"b":1},"m":{"b":2},"l":[1],"l":[2]}'), {
    m: { a: 1, b: 2 },
    l: [2],
  });
});
