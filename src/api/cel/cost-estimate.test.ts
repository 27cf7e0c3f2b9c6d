/** Estimated costs, compared with those that upstream's tests state for the same rules and schemas. */
import { test } from "node:test";
import assert from "node:assert/strict";
import type { Schema } from "#kinds/schema.ts";
import { declaredType } from "./declared-type.ts";
import { TypedExpressions } from "./typed-expressions.ts";

function costOf(schema: Schema, rule: string): number {
  const type = declaredType(schema);
  assert.ok(type !== undefined);
  const { problem, cost } = new TypedExpressions(type).check(rule, false);
  assert.equal(problem, undefined, rule);
  return cost;
}

const intOrString: Schema = { "x-kubernetes-int-or-string": true };
const object: Schema = {
  type: "object",
  required: ["required"],
  properties: { required: { type: "string" }, optional: { type: "string" } },
};
const number: Schema = { type: "number" };
const string: Schema = { type: "string" };
const format = (name: string): Schema => ({ type: "string", format: name });
const list =
  (items: Schema) =>
  (maxItems?: number): Schema => ({ type: "array", items, ...(maxItems === undefined ? {} : { maxItems }) });
const map =
  (additionalProperties: Schema) =>
  (maxProperties?: number): Schema => ({
    type: "object",
    additionalProperties,
    ...(maxProperties === undefined ? {} : { maxProperties }),
  });
const text = (maxLength?: number): Schema => ({
  ...string,
  ...(maxLength === undefined ? {} : { maxLength }),
});
const texts = (limit?: number): Schema => list(text(limit))(limit);

/** The rule, its schema, and the costs without a limit of sizes and with one. */
type Case = readonly [
  rule: string,
  schema: (limit?: number) => Schema,
  free: number,
  limit: number,
  limited: number,
];

const cases: readonly Case[] = [
  ["self.all(x, true)", list(number), 4_718_591, 10, 32],
  ["self.all(x, true)", list(string), 3_145_727, 20, 62],
  ["self.all(x, true)", list({ type: "boolean" }), 1_887_437, 5, 17],
  ["self.all(x, true)", list(list(number)()), 3_145_727, 100, 302],
  ["self.all(x, true)", list(object), 555_128, 50, 152],
  ["self.all(x, true)", map(number), 1_348_169, 10, 32],
  ["self.all(x, true)", map(string), 1_179_647, 3, 11],
  ["self.all(x, true)", map(object), 428_963, 20, 62],
  ["self.contains('test')", text, 314_574, 10, 5],
  ["self.startsWith('test')", text, 2, 15, 2],
  ["size(self + 'hello') > size('hello')", text, 314_578, 4, 7],
  ["self[1] == 0.0", list(number), 2, 5000, 2],
  ["self[1] == self[1]", list(string), 314_577, 8, 314_577],
  ["self.all(x, self.all(y, true))", list(number), 7.4e12, 10, 352],
  ["self.all(x, self.all(y, self.all(z, true)))", list(number), 1.1e19, 10, 3552],
  ["self.matches('x')", text, 314_574, 50, 22],
  ["''.matches('(((((((((())))))))))[0-9]')", text, 7, 10, 7],
  ["self == 'x'", text, 2, 0, 1],
  ["self.all(x, true)", list(intOrString), 4_718_591, 10, 32],
  ["self[0] == 5", list(intOrString), 3, 10, 3],
  ["self[0][0] == -1.0", list(list(number)()), 3, 51, 3],
  ["self.all(x, x.y == 25.2)", list(map(number)()), 6_291_452, 12, 74],
  ["self[0].x > 2.0", list(map(number)()), 4, 3000, 4],
  ["self.all(x, true)", list(format("duration")), 2_359_295, 5, 17],
  ["self[0].getHours() == 2", list(format("duration")), 4, 525, 4],
  ["self.all(x, true)", list(format("date")), 725_936, 15, 47],
  ["self.all(x, true)", list(format("date-time")), 428_963, 25, 77],
  ["self[2].getMinutes() == 45", list(format("date-time")), 4, 99, 4],
  ["self['a'] == self['b']", map(format("date-time")), 8, 7, 8],
  ["self['c'] == self['d']", map(format("duration")), 8, 42, 8],
  ["self.find('[0-9]+') == ''", text, 629_147, 10, 11],
  ["self.join(' ') == 'aa bb'", texts, 329_853_068_905, 10, 43],
  ["self.isSorted() == true", texts, 329_854_432_052, 10, 52],
  ["self.lowerAscii() == 'lower!'", text, 314_575, 10, 6],
  ["oldSelf.size() == self.size()", map({ type: "integer" }), 5, 10, 5],
  ["self.all(x, x.contains(self[x]))", (limit) => map(text(limit))(limit), 2_752_507, 10, 72],
];

test("costs of rules", () => {
  const differences: string[] = [];
  for (const [rule, schema, free, limit, limited] of cases) {
    const found = [costOf(schema(), rule), costOf(schema(limit), rule)];
    // Beyond the budget by far, only the order of magnitude is told.
    const isFar = free > 1e12 && (found[0] ?? 0) > 1e12;
    if ((found[0] !== free && !isFar) || found[1] !== limited)
      differences.push(`${rule}: ${found.join(", ")} instead of ${free}, ${limited}`);
  }
  assert.deepEqual(differences, []);
});

test("an enumerated string is as long as its longest value", () => {
  const enumerated: Schema = { type: "string", enum: ["A", "B", "LongValue"] };
  assert.equal(costOf(enumerated, "self.contains('A')"), 2);
  assert.equal(costOf({ ...enumerated, maxLength: 1000 }, "self.contains('A')"), 401);
});
