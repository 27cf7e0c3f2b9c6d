/** Cron schedules (five fields, names, steps, macros, "@every") in any IANA time zone. */

interface Schedule {
  minutes: Set<number>;
  hours: Set<number>;
  days: Set<number>;
  months: Set<number>;
  weekdays: Set<number>;
  /** A field that starts with "*": then day of month and day of week must both match, else either. */
  anyDay: boolean;
}

const minuteMs = 60_000;
const monthNames = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const weekdayNames = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const macros: Record<string, string> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};
/** No schedule that ever fires has a longer pause (29 February over a century without leap year). */
const searchYears = 9;

/** The first time after `afterMs`; undefined for a schedule that never fires or isn't one. */
export function nextTimeMs(text: string, afterMs: number, timeZone = "UTC"): number | undefined {
  const every = /^@every (\d+)s$/.exec(text) ?? undefined;
  if (every !== undefined) return afterMs + Number(every[1]) * 1000;
  const schedule = parseSchedule(text);
  if (schedule === undefined) return undefined;
  let atMs = Math.floor(afterMs / minuteMs) * minuteMs + minuteMs;
  const endMs = afterMs + searchYears * 366 * 86_400_000;
  const local = localTime(timeZone);
  while (atMs < endMs) {
    const time = local(atMs);
    if (!schedule.months.has(time.month) || !dayMatches(schedule, time)) {
      // To the next local midnight, or near it where clocks change.
      atMs += Math.max(1, (24 - time.hour) * 60 - time.minute - 60) * minuteMs;
      if (local(atMs).day === time.day) atMs = toNextDay(atMs, time.day, local);
      continue;
    }
    if (!schedule.hours.has(time.hour)) atMs += (60 - time.minute) * minuteMs;
    else if (!schedule.minutes.has(time.minute)) atMs += minuteMs;
    else return atMs;
  }
  return undefined;
}

interface LocalTime {
  month: number;
  day: number;
  weekday: number;
  hour: number;
  minute: number;
}

function toNextDay(atMs: number, day: number, local: (ms: number) => LocalTime): number {
  let nextMs = atMs;
  while (local(nextMs).day === day) nextMs += 15 * minuteMs;
  return nextMs - (local(nextMs).minute % 15) * minuteMs;
}

function localTime(timeZone: string): (ms: number) => LocalTime {
  if (timeZone === "UTC" || timeZone === "Etc/UTC") {
    return (ms) => {
      const date = new Date(ms);
      return {
        month: date.getUTCMonth() + 1,
        day: date.getUTCDate(),
        weekday: date.getUTCDay(),
        hour: date.getUTCHours(),
        minute: date.getUTCMinutes(),
      };
    };
  }
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
  });
  return (ms) => {
    const parts = Object.fromEntries(
      format.formatToParts(ms).map(({ type, value }) => [type, Number(value)]),
    );
    const { year = 0, month = 0, day = 0, hour = 0, minute = 0 } = parts;
    return { month, day, weekday: new Date(Date.UTC(year, month - 1, day)).getUTCDay(), hour, minute };
  };
}

function dayMatches(schedule: Schedule, { day, weekday }: LocalTime): boolean {
  const [byDay, byWeekday] = [schedule.days.has(day), schedule.weekdays.has(weekday)];
  return schedule.anyDay ? byDay && byWeekday : byDay || byWeekday;
}

function parseSchedule(text: string): Schedule | undefined {
  const fields = (macros[text.trim()] ?? text).trim().split(/\s+/);
  if (fields.length !== 5) return undefined;
  const [minute = "", hour = "", day = "", month = "", weekday = ""] = fields;
  const minutes = parseField(minute, 0, 59);
  const hours = parseField(hour, 0, 23);
  const days = parseField(day, 1, 31);
  const months = parseField(month, 1, 12, monthNames, 1);
  const weekdays = parseField(weekday, 0, 7, weekdayNames, 0);
  if (!minutes || !hours || !days || !months || !weekdays) return undefined;
  if (weekdays.has(7)) weekdays.add(0);
  const anyDay = [day, weekday].some((each) => each.startsWith("*") || each.startsWith("?"));
  return { minutes, hours, days, months, weekdays, anyDay };
}

function parseField(
  text: string,
  least: number,
  most: number,
  names: readonly string[] = [],
  firstName = 0,
): Set<number> | undefined {
  const values = new Set<number>();
  const numberOf = (word: string): number => {
    const index = names.indexOf(word.toLowerCase());
    return index >= 0 ? index + firstName : /^\d+$/.test(word) ? Number(word) : NaN;
  };
  for (const part of text.split(",")) {
    const [range = "", stepText] = part.split("/");
    const step = stepText === undefined ? 1 : Number(stepText);
    const [from = "", to] = range.split("-");
    const any = range === "*" || range === "?";
    const first = any ? least : numberOf(from);
    const last = any ? most : to !== undefined ? numberOf(to) : stepText !== undefined ? most : first;
    if (!Number.isInteger(step) || step < 1 || !(first >= least) || !(last <= most) || first > last)
      return undefined;
    for (let value = first; value <= last; value += step) values.add(value);
  }
  return values;
}
