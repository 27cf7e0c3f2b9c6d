import { test } from "node:test";
import assert from "node:assert/strict";
import type { Schema } from "#kinds/schema.ts";
import { RuleSet } from "#api/cel/rule-set.ts";
import { validateDefinitionSchema } from "./validate-schema.ts";

type Rule = NonNullable<Schema["x-kubernetes-validations"]>[number];

const path = "schema";
const at = "schema.properties[spec].x-kubernetes-validations[0]";
const tooExpensive =
  "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)";

function withSpec(spec: Schema): Schema {
  return { type: "object", properties: { spec } };
}

function withRule(rule: Partial<Rule>, properties: Record<string, Schema> = fields): Schema {
  return withSpec({ type: "object", properties, "x-kubernetes-validations": [rule as Rule] });
}

const fields: Record<string, Schema> = {
  name: { type: "string", maxLength: 10 },
  count: { type: "integer" },
  when: { type: "string", format: "date-time" },
  list: { type: "array", maxItems: 10, items: { type: "string", maxLength: 5 } },
  labels: { type: "object", additionalProperties: { type: "string" } },
};

function texts(schema: Schema): string[] {
  return validateDefinitionSchema(schema, path, false, true).map((each) => `${each.field}: ${each.message}`);
}

/** The end of the only error, after the rule as Go prints it. */
function problem(rule: string): string {
  const found = texts(withRule({ rule }));
  assert.equal(found.length, 1, `${rule}: ${found.join("; ")}`);
  return found[0]?.replace(/^.*?OptionalOldSelf:\(\*bool\)\(nil\)\}: /s, "") ?? "";
}

test("rules that are in order", () => {
  for (const rule of [
    "self.count > 0",
    "self.name.startsWith('a') || !has(self.list)",
    "self.list.all(x, x.matches('^[a-z]+$'))",
    "self.when < timestamp('2030-01-01T00:00:00Z')",
    "self == oldSelf",
    "self.labels.all(k, k.size() > 0)",
    "size(self.name) + self.count <= 10",
  ])
    assert.deepEqual(texts(withRule({ rule })), [], rule);
});

test("what the compiler says", () => {
  assert.equal(
    problem("self.nothing > 0"),
    "compilation failed: ERROR: <input>:1:5: undefined field 'nothing'\n | self.nothing > 0\n | ....^",
  );
  assert.equal(
    problem("self.count + self.name == 'x'"),
    "compilation failed: ERROR: <input>:1:12: found no matching overload for '_+_' applied to '(int, string)'\n | self.count + self.name == 'x'\n | ...........^",
  );
  assert.match(problem("other"), /1:1: undeclared reference to 'other' \(in container ''\)/);
  assert.match(problem("has(self.none)"), /undefined field 'none'/);
  assert.match(problem("self.count ="), /^compilation failed: ERROR: <input>:1:12: Syntax error: /);
  assert.equal(problem("self.count"), "cel expression must evaluate to a bool");
});

test("a wrong rule is shown as upstream shows it", () => {
  assert.equal(
    texts(withRule({ rule: "self.count", message: "m" }))[0],
    `${at}.rule: Invalid value: apiextensions.ValidationRule{Rule:"self.count", Message:"m", MessageExpression:"", Reason:(*apiextensions.FieldValueErrorReason)(nil), FieldPath:"", OptionalOldSelf:(*bool)(nil)}: cel expression must evaluate to a bool`,
  );
});

test("texts, reasons and paths of rules", () => {
  assert.deepEqual(texts(withRule({ rule: " " })), [`${at}.rule: Required value: rule is not specified`]);
  assert.deepEqual(texts(withRule({ rule: "true", message: "a\nb" })), [
    `${at}.message: Invalid value: "a\\nb": message must not contain line breaks`,
  ]);
  assert.deepEqual(texts(withRule({ rule: "true &&\ntrue" })), [
    `${at}.message: Required value: message must be specified if rule contains line breaks`,
  ]);
  assert.deepEqual(texts(withRule({ rule: "true", reason: "Because" as "FieldValueInvalid" })), [
    `${at}.reason: Unsupported value: "Because": supported values: "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"`,
  ]);
  assert.deepEqual(texts(withRule({ rule: "true", fieldPath: ".none" })), [
    `${at}.fieldPath: Invalid value: ".none": fieldPath must be a valid path`,
  ]);
  assert.deepEqual(texts(withRule({ rule: "true", fieldPath: ".labels['a.b']" })), []);
  assert.match(
    texts(withRule({ rule: "true", messageExpression: "self.count" }))[0] ?? "",
    /messageExpression must evaluate to a string$/,
  );
});

test("oldSelf only where there is one", () => {
  const items: Schema = {
    type: "object",
    required: ["k"],
    properties: { k: { type: "string", maxLength: 5 } },
    "x-kubernetes-validations": [{ rule: "self == oldSelf" }],
  };
  const listed = (more: Schema) => texts(withSpec({ type: "array", maxItems: 5, items, ...more }));
  assert.deepEqual(listed({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"] }), []);
  assert.deepEqual(listed({}), [
    'schema.properties[spec].items.x-kubernetes-validations[0].rule: Invalid value: "self == oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema within schema.properties[spec]',
  ]);
  assert.deepEqual(texts(withRule({ rule: "true", optionalOldSelf: true })), [
    `${at}.optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule`,
  ]);
  assert.deepEqual(
    texts(
      withRule({ rule: "!oldSelf.hasValue() || oldSelf.value().count <= self.count", optionalOldSelf: true }),
    ),
    [],
  );
});

test("rules that can cost too much are refused, alone and together", () => {
  const free: Schema = { type: "array", items: { type: "string" } };
  const nested = texts(withRule({ rule: "self.list.all(x, self.list.all(y, x == y))" }, { list: free }));
  assert.deepEqual(nested, [
    `${at}.rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x ${tooExpensive}`,
    `${at}.rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema`,
    `schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of more than 100x ${tooExpensive}`,
  ]);
  // In items without a limit a rule counts as often as such items fit into a request.
  const inItems = (rule: string) =>
    texts(
      withSpec({
        type: "array",
        items: { type: "string", maxLength: 10, "x-kubernetes-validations": [{ rule }] },
      }),
    );
  assert.deepEqual(inItems("self.contains('0123456789a')"), []);
  assert.deepEqual(inItems("self.contains('0123456789a') || self.size() > 3"), [
    `schema.properties[spec].items.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of 1.258291x ${tooExpensive}`,
  ]);
  const [message] = texts(withRule({ rule: "true", messageExpression: "'n' + string(self.count)" }));
  assert.equal(
    message,
    `${at}.messageExpression: Forbidden: estimated messageExpression cost exceeds budget by factor of more than 100x ${tooExpensive}`,
  );
});

test("the default of a field has to hold its rules", () => {
  const rule = { rule: "self.count > 0", message: "must be positive" };
  const spec: Schema = {
    type: "object",
    default: { count: 0 },
    properties: { count: { type: "integer" } },
    "x-kubernetes-validations": [rule],
  };
  assert.deepEqual(texts(withSpec(spec)), [
    'schema.properties[spec].default: Invalid value: "object": must be positive',
  ]);
});

test("an evaluation that costs too much ends", () => {
  const items: Schema = { type: "string" };
  const list: Schema = {
    type: "array",
    items,
    "x-kubernetes-validations": [{ rule: "self.all(x, self.all(y, x != y || x == y))", message: "m" }],
  };
  const many = Array.from({ length: 2_000 }, (_each, index) => `value-${index}`);
  assert.deepEqual(
    new RuleSet(withSpec(list)).validate({ spec: many }, undefined).map((each) => each.message),
    [
      "Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: m",
    ],
  );
  // Each of these is cheap enough; all of them are not.
  const each: Schema = {
    ...list,
    "x-kubernetes-validations": [{ rule: "self.all(x, self.exists(y, x == y))" }],
  };
  const lists = Array.from({ length: 200 }, () => many.slice(0, 200));
  const errors = new RuleSet(withSpec({ type: "array", items: each })).validate({ spec: lists }, undefined);
  assert.deepEqual(
    errors.map(({ message }) => message),
    [
      'Invalid value: "array": validation failed due to running out of cost budget, no further validation rules will be run',
    ],
  );
});

test("optional oldSelf, atomic maps, durations", () => {
  const rules = (schema: Schema) => {
    const set = new RuleSet(schema);
    return (value: unknown, old?: unknown) =>
      set.validate(value, old).map((each) => `${each.field}: ${each.message}`);
  };
  const optional = rules({
    type: "integer",
    "x-kubernetes-validations": [
      { rule: "oldSelf.orValue(0) <= self", optionalOldSelf: true, message: "may not shrink" },
    ],
  });
  assert.deepEqual(optional(-1), ['<nil>: Invalid value: "integer": may not shrink']);
  assert.deepEqual(optional(5, 3), []);
  assert.deepEqual(optional(2, 3), ['<nil>: Invalid value: "integer": may not shrink']);
  const fixed: Schema = {
    type: "string",
    "x-kubernetes-validations": [{ rule: "self == oldSelf", message: "fixed" }],
  };
  const granular = rules({ type: "object", properties: { a: fixed } });
  assert.equal(granular({ a: "x" }, { a: "y" }).length, 1);
  const atomic = rules({ type: "object", "x-kubernetes-map-type": "atomic", properties: { a: fixed } });
  assert.equal(atomic({ a: "x" }, { a: "y" }).length, 0);
  const duration = rules({
    type: "string",
    format: "duration",
    "x-kubernetes-validations": [{ rule: "self >= duration('1m')", message: "too short" }],
  });
  assert.deepEqual(duration("90s"), []);
  assert.deepEqual(duration("30s"), ['<nil>: Invalid value: "string": too short']);
});
