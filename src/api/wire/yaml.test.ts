import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { parseYaml } from "./yaml.ts";

test("JSON is YAML, however it is written", () => {
  const value = fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.jsonValue());
  fc.assert(
    fc.property(value, (object) => {
      const expected: unknown = JSON.parse(JSON.stringify(object));
      assert.deepEqual(parseYaml(JSON.stringify(object)), { value: expected, duplicates: [] });
    }),
  );
  const given = { a: [1, 2.5, "x: y", null, true], "<<": "z", b: { "1": "yes", c: "2026-01-01" } };
  for (const text of [JSON.stringify(given), JSON.stringify(given, undefined, 1)])
    assert.deepEqual(parseYaml(text).value, given);
});

test("repeated keys are found in JSON too", () => {
  const [message] = parseYaml('{"a":1,"b":{"c":1,"c":1}}').duplicates;
  assert.match(message ?? "", /key "c" already set in map/);
});
