/** Cron schedules in the standard five fields, with names, steps, ranges and the "@daily" words: parsing and the next time. */

interface Field {
  name: string;
  min: number;
  max: number;
  words?: Readonly<Record<string, number>>;
}

const months = Object.fromEntries(
  ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"].map((each, index) => [
    each,
    index + 1,
  ]),
);
const days = Object.fromEntries(
  ["sun", "mon", "tue", "wed", "thu", "fri", "sat"].map((each, index) => [each, index]),
);
const fields: readonly Field[] = [
  { name: "minute", min: 0, max: 59 },
  { name: "hour", min: 0, max: 23 },
  { name: "day of month", min: 1, max: 31 },
  { name: "month", min: 1, max: 12, words: months },
  { name: "day of week", min: 0, max: 6, words: days },
];
const words: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};

export interface CronSchedule {
  /** For "@every 5m": the distance in milliseconds. */
  everyMs?: number;
  minutes: ReadonlySet<number>;
  hours: ReadonlySet<number>;
  daysOfMonth: ReadonlySet<number>;
  months: ReadonlySet<number>;
  daysOfWeek: ReadonlySet<number>;
  /** Whether either field of days was "*": then both must hold, otherwise one suffices. */
  anyDay: boolean;
}

/** What is wrong with a schedule; empty when nothing is. */
export function cronErrors(text: string): string[] {
  try {
    parseCron(text);
    return [];
  } catch (error) {
    return [(error as Error).message];
  }
}

/** Throws RangeError with the cron library's text. */
export function parseCron(text: string): CronSchedule {
  const withoutZone = text.replace(/^(CRON_)?TZ=\S*\s+/, "");
  const every = /^@every\s+(.+)$/.exec(withoutZone);
  const empty = new Set<number>();
  if (every !== null)
    return {
      everyMs: durationMs(every[1] ?? "", withoutZone),
      minutes: empty,
      hours: empty,
      daysOfMonth: empty,
      months: empty,
      daysOfWeek: empty,
      anyDay: true,
    };
  if (withoutZone.startsWith("@") && words[withoutZone] === undefined)
    throw new RangeError(`unrecognized descriptor: ${withoutZone}`);
  const parts = (words[withoutZone] ?? withoutZone).trim().split(/\s+/);
  if (parts.length !== 5)
    throw new RangeError(`expected exactly 5 fields, found ${parts.length}: [${parts.join(" ")}]`);
  const [minutes, hours, daysOfMonth, monthSet, daysOfWeek] = parts.map((part, index) =>
    parseField(part, fields[index] ?? { name: "", min: 0, max: 0 }),
  );
  const star = (part: string | undefined): boolean => part !== undefined && /^[*?]/.test(part);
  return {
    minutes: minutes ?? empty,
    hours: hours ?? empty,
    daysOfMonth: daysOfMonth ?? empty,
    months: monthSet ?? empty,
    daysOfWeek: daysOfWeek ?? empty,
    anyDay: star(parts[2]) || star(parts[4]),
  };
}

/** A moment's calendar fields in some time zone. */
export interface CalendarTime {
  minute: number;
  hour: number;
  dayOfMonth: number;
  month: number;
  dayOfWeek: number;
}

/** True where the schedule fires in this minute. */
export function matchesCron(schedule: CronSchedule, time: CalendarTime): boolean {
  if (
    !schedule.minutes.has(time.minute) ||
    !schedule.hours.has(time.hour) ||
    !schedule.months.has(time.month)
  )
    return false;
  const byMonth = schedule.daysOfMonth.has(time.dayOfMonth);
  const byWeek = schedule.daysOfWeek.has(time.dayOfWeek);
  return schedule.anyDay ? byMonth && byWeek : byMonth || byWeek;
}

function parseField(text: string, field: Field): Set<number> {
  const values = new Set<number>();
  for (const expression of text.split(",")) {
    const [range = "", stepText, ...more] = expression.split("/");
    if (more.length > 0) throw new RangeError(`too many slashes: ${expression}`);
    const limits = range.split("-");
    if (limits.length > 2) throw new RangeError(`too many hyphens: ${expression}`);
    let start: number;
    let end: number;
    if (limits[0] === "*" || limits[0] === "?") [start, end] = [field.min, field.max];
    else {
      start = numberOf(limits[0] ?? "", field);
      end = limits.length === 2 ? numberOf(limits[1] ?? "", field) : start;
    }
    let step = 1;
    if (stepText !== undefined) {
      step = numberOf(stepText, { ...field, words: {} });
      if (limits.length === 1 && start === end) end = field.max;
      if (step === 0) throw new RangeError(`step of range should be a positive number: ${expression}`);
    }
    if (start < field.min)
      throw new RangeError(`beginning of range (${start}) below minimum (${field.min}): ${expression}`);
    if (end > field.max)
      throw new RangeError(`end of range (${end}) above maximum (${field.max}): ${expression}`);
    if (start > end)
      throw new RangeError(`beginning of range (${start}) beyond end of range (${end}): ${expression}`);
    for (let value = start; value <= end; value += step) values.add(value);
  }
  return values;
}

function numberOf(text: string, field: Field): number {
  const word = field.words?.[text.toLowerCase()];
  if (word !== undefined) return word;
  if (!/^[+-]?\d+$/.test(text))
    throw new RangeError(
      `failed to parse int from ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`,
    );
  if (text.startsWith("-")) throw new RangeError(`negative number (${text}) not allowed: ${text}`);
  return Number(text);
}

function durationMs(text: string, whole: string): number {
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  let total = 0;
  let rest = text;
  while (rest !== "") {
    const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)/.exec(rest);
    if (match === null)
      throw new RangeError(
        `failed to parse duration ${whole}: time: invalid duration ${JSON.stringify(text)}`,
      );
    total += Number(match[1]) * (units[match[2] ?? "s"] ?? 0);
    rest = rest.slice(match[0].length);
  }
  return Math.max(1000, Math.floor(total / 1000) * 1000);
}
