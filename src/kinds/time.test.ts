import assert from "node:assert/strict";
import { test } from "node:test";
import { normalizeTime } from "./time.ts";

test("a canonical time stays, and what no month or day has is refused", () => {
  for (const text of ["2024-02-29T23:59:59Z", "2024-01-31T00:00:00Z", "2024-04-30T12:00:00Z"])
    assert.deepEqual(normalizeTime(text, "date-time"), { value: text });
  for (const text of [
    "2024-13-01T00:00:00Z",
    "2024-00-10T00:00:00Z",
    "2024-01-32T00:00:00Z",
    "2024-01-01T24:30:00Z",
  ])
    assert.ok("error" in normalizeTime(text, "date-time"), text);
});

test("zones and fractions become whole seconds of UTC", () => {
  assert.deepEqual(normalizeTime("2024-01-02T03:04:05.678+02:00", "date-time"), {
    value: "2024-01-02T01:04:05Z",
  });
  assert.ok("error" in normalizeTime("2024-01-02T03:04:05Z", "micro-time"));
  assert.deepEqual(normalizeTime("2024-01-02T03:04:05.6Z", "micro-time"), {
    value: "2024-01-02T03:04:05.600000Z",
  });
});
