import { test } from "node:test";
import assert from "node:assert/strict";
import type { Schema } from "#kinds/schema.ts";
import { CelCompileError, compileExpression } from "./environment.ts";
import { RuleSet } from "./rule-set.ts";
import { escapeName, toCel } from "./values.ts";

function evaluate(text: string, self?: unknown): unknown {
  return compileExpression(text, ["self"]).evaluate({ self: toCel(self) });
}

test("Kubernetes's libraries", () => {
  const truths = [
    "'abc'.charAt(1) == 'b'",
    "'a-b-c'.replace('-', '+') == 'a+b+c'",
    "'a-b-c'.replace('-', '+', 1) == 'a+b-c'",
    "'abc 123'.find('[0-9]+') == '123'",
    "'a1b2'.findAll('[0-9]') == ['1', '2']",
    "'%s is %d'.format(['x', 5]) == 'x is 5'",
    "[1, 2, 3].isSorted() && [1, 2, 3].sum() == 6",
    "[3, 1, 2].min() == 1 && [3, 1, 2].max() == 3",
    "['a', 'b'].indexOf('b') == 1",
    "sets.contains([1, 2, 3], [2]) && !sets.intersects([1], [2]) && sets.equivalent([1, 2], [2, 1])",
    "url('https://host:80/p?q=1').getHostname() == 'host' && isURL('/p') && !isURL('../p')",
    "ip('192.0.2.1').family() == 4 && isIP('::1') && !isIP('1.2.3')",
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').prefixLength() == 8",
    "quantity('1Gi').isGreaterThan(quantity('1G')) && isQuantity('50m') && !isQuantity('x')",
    "quantity('50k') == quantity('50000') && quantity('1') != quantity('2')",
    "ip('10.0.0.1') == ip('10.0.0.1') && ip.isCanonical('10.0.0.1') && !ip.isCanonical('::0')",
    "cidr('10.1.0.0/8').masked() == cidr('10.0.0.0/8')",
    "format.dns1123Label().validate('abc') == optional.none()",
    "format.named('dns1123Label').value().validate('A_').value().size() > 0",
    "format.named('nothing') == optional.none() && optional.of([1]) == optional.of([1])",
    "b'a' < b'b' && b'b' >= b'b'",
    "{'a': 1} != null",
    "quantity('1500m').add(quantity('500m')).compareTo(quantity('2')) == 0",
  ];
  for (const text of truths) assert.equal(evaluate(text), true, text);
});

test("expressions that can't be compiled say why", () => {
  assert.throws(() => compileExpression("nothing > 1", ["self"]), CelCompileError);
  assert.throws(() => compileExpression("self >", ["self"]), CelCompileError);
});

test("names that CEL can't write are escaped", () => {
  assert.equal(escapeName("a-b.c/d"), "a__dash__b__dot__c__slash__d");
  assert.equal(escapeName("namespace"), "__namespace__");
  assert.equal(escapeName("1a"), undefined);
});

test("rules: messages, field paths, transitions, lists by key", () => {
  const schema: Schema = {
    type: "object",
    properties: {
      spec: {
        type: "object",
        "x-kubernetes-validations": [
          { rule: "self.min <= self.max", messageExpression: "'min is ' + string(self.min)" },
          { rule: "!has(self.min) || self.min >= 0", message: "not negative", fieldPath: ".min" },
        ],
        properties: {
          min: { type: "integer" },
          max: { type: "integer" },
          fixed: {
            type: "string",
            "x-kubernetes-validations": [{ rule: "self == oldSelf", message: "immutable" }],
          },
        },
      },
    },
  };
  const rules = new RuleSet(schema);
  const texts = (value: unknown, old?: unknown) =>
    rules.validate(value, old).map((each) => `${each.field}: ${each.message}`);
  assert.deepEqual(texts({ spec: { min: 1, max: 2, fixed: "a" } }), []);
  assert.deepEqual(texts({ spec: { min: 3, max: 2 } }), ['spec: Invalid value: "object": min is 3']);
  assert.deepEqual(texts({ spec: { min: -1, max: 2 } }), ['spec.min: Invalid value: "object": not negative']);
  assert.deepEqual(
    texts({ spec: { min: 1, max: 2, fixed: "b" } }, { spec: { min: 1, max: 2, fixed: "a" } }),
    ['spec.fixed: Invalid value: "string": immutable'],
  );
  assert.deepEqual(texts({ spec: { max: 2 } }), [
    'spec: Invalid value: "object": no such key: min evaluating rule: self.min <= self.max',
  ]);
});
