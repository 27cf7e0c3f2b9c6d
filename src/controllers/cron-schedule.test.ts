import assert from "node:assert/strict";
import { test } from "node:test";
import { nextTimeMs } from "./cron-schedule.ts";

const cases: [schedule: string, after: string, next: string | undefined, zone?: string][] = [
  ["* * * * *", "2026-01-01T00:00:30Z", "2026-01-01T00:01:00Z"],
  ["*/15 3-5 * * *", "2026-01-01T05:45:00Z", "2026-01-02T03:00:00Z"],
  ["0 0 29 2 *", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"],
  ["30 9 * jan,jul mon-fri", "2026-01-02T10:00:00Z", "2026-01-05T09:30:00Z"],
  ["0 12 13 * 5", "2026-01-03T00:00:00Z", "2026-01-09T12:00:00Z"],
  ["@hourly", "2026-01-01T10:20:00Z", "2026-01-01T11:00:00Z"],
  ["0 0 * * 7", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"],
  ["0 0 31 2 *", "2026-01-01T00:00:00Z", undefined],
  ["nonsense", "2026-01-01T00:00:00Z", undefined],
  ["0 8 * * *", "2026-07-01T00:00:00Z", "2026-07-01T06:00:00Z", "Europe/Berlin"],
  ["0 8 * * *", "2026-01-01T12:00:00Z", "2026-01-02T07:00:00Z", "Europe/Berlin"],
];

for (const [schedule, after, next, zone] of cases) {
  test(`"${schedule}" after ${after}${zone === undefined ? "" : ` in ${zone}`}`, () => {
    const found = nextTimeMs(schedule, Date.parse(after), zone);
    assert.equal(found === undefined ? undefined : new Date(found).toISOString().replace(".000", ""), next);
  });
}
