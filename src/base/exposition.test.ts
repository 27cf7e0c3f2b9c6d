import assert from "node:assert/strict";
import { test } from "node:test";
import { exponentialBounds, exposition, Histogram } from "./exposition.ts";

test("families, labels and what must be escaped", () => {
  const text = exposition([
    { name: "empty", help: "Nothing.", type: "gauge", samples: [] },
    {
      name: "requests_total",
      help: 'With a \\ and\na second line, and "quotes".',
      type: "counter",
      samples: [{ labels: { path: 'a"b\\c\nd', code: "200" }, value: 3 }, { value: Infinity }],
    },
  ]);
  assert.equal(
    text,
    [
      '# HELP requests_total With a \\\\ and\\na second line, and "quotes".',
      "# TYPE requests_total counter",
      'requests_total{path="a\\"b\\\\c\\nd",code="200"} 3',
      "requests_total +Inf",
      "",
    ].join("\n"),
  );
});

test("a histogram's buckets are cumulative, and a bound belongs to its bucket", () => {
  const histogram = new Histogram([1, 2, 4]);
  for (const value of [0.5, 1, 2, 3, 9]) histogram.observe(value);
  const text = exposition([
    { name: "size", help: "Sizes.", type: "histogram", samples: histogram.samples({ to: "b" }) },
  ]);
  assert.equal(
    text,
    [
      "# HELP size Sizes.",
      "# TYPE size histogram",
      'size_bucket{to="b",le="1"} 2',
      'size_bucket{to="b",le="2"} 3',
      'size_bucket{to="b",le="4"} 4',
      'size_bucket{to="b",le="+Inf"} 5',
      'size_sum{to="b"} 15.5',
      'size_count{to="b"} 5',
      "",
    ].join("\n"),
  );
  assert.deepEqual(exponentialBounds(0.001, 2, 4), [0.001, 0.002, 0.004, 0.008]);
});
