import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  addQuantities,
  canonicalizeQuantity,
  compareQuantities,
  formatQuantity,
  parseQuantity,
  quantityMilliValue,
  quantityPatternError,
  quantityValue,
  tryParseQuantity,
} from "./quantity.ts";

test("quantities become canonical", () => {
  const cases: Record<string, string> = {
    "0": "0",
    "0Mi": "0",
    "+5": "5",
    "1000m": "1",
    "1500m": "1500m",
    "0.5": "500m",
    ".5Gi": "512Mi",
    "1024Ki": "1Mi",
    "1.5Gi": "1536Mi",
    "1000Ki": "1000Ki",
    "1e3": "1e3",
    "12e6": "12e6",
    "1000000": "1M",
    "1024": "1024",
    "0.1n": "1n",
    "-1.5": "-1500m",
    "100": "100",
    "1023Mi": "1023Mi",
    "9E": "9E",
  };
  for (const [given, expected] of Object.entries(cases))
    assert.equal(canonicalizeQuantity(given), expected, given);
});

test("what is no quantity is told in upstream's words", () => {
  for (const text of ["", "x", "1..2", "1 Gi", ".", "--1"])
    assert.equal(tryParseQuantity(text), quantityPatternError, text);
  assert.equal(tryParseQuantity("1Kib"), tryParseQuantity("x"));
  assert.equal(tryParseQuantity("1Kk"), "unable to parse quantity's suffix");
});

test("quantities compare by value, across suffixes", () => {
  assert.equal(compareQuantities("1", "1000m"), 0);
  assert.ok(compareQuantities("1Gi", "1G") > 0);
  assert.equal(quantityValue("1500m"), 2);
  assert.equal(quantityMilliValue("0.25"), 250);
  assert.equal(formatQuantity(addQuantities(parseQuantity("1Gi"), parseQuantity("512Mi"))), "1536Mi");
});

test("formatting and parsing are inverse", () => {
  fc.assert(
    fc.property(
      fc.bigInt(-(10n ** 17n), 10n ** 17n),
      fc.constantFrom("DecimalSI", "DecimalExponent"),
      (nano, format) => {
        const text = formatQuantity({ nano, format });
        assert.equal(parseQuantity(text).nano, nano);
        assert.equal(canonicalizeQuantity(text), text);
      },
    ),
  );
});
