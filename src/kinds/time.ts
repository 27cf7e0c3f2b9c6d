/** Times as Kubernetes writes them (RFC 3339, whole seconds or microseconds, UTC), and ages as tables show them. No clock. */

const rfc3339 = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:[.,](\d+))?(Z|[+-]\d{2}:\d{2})$/;
const layouts = {
  "date-time": "2006-01-02T15:04:05Z07:00",
  "micro-time": "2006-01-02T15:04:05.000000Z07:00",
} as const;

/** What needs no change as a "date-time": a day that each such month of every year has. */
const canonical =
  /^\d{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$/;

export type TimeFormat = keyof typeof layouts;

/** The canonical text ("2024-01-02T03:04:05Z"; microseconds for "micro-time"), or the error of Go's parser in `error`. */
export function normalizeTime(text: string, format: TimeFormat): { value: string } | { error: string } {
  if (format === "date-time" && canonical.test(text)) return { value: text };
  const match = rfc3339.exec(text);
  const ms = match === null ? Number.NaN : Date.parse(text.replace(",", "."));
  if (match === null || Number.isNaN(ms) || (format === "micro-time" && match[7] === undefined)) {
    // Go names the first piece of the layout that does not fit; a wholly foreign text fails at the year.
    const rest = remainder(text);
    const layout = layouts[format];
    return {
      error: `parsing time ${JSON.stringify(text)} as ${JSON.stringify(layout)}: cannot parse ${JSON.stringify(rest.text)} as ${JSON.stringify(rest.piece)}`,
    };
  }
  const seconds = new Date(Math.floor(ms / 1000) * 1000).toISOString().slice(0, 19);
  if (format === "date-time") return { value: `${seconds}Z` };
  return { value: `${seconds}.${(match[7] ?? "").padEnd(6, "0").slice(0, 6)}Z` };
}

/** Milliseconds since the epoch, or undefined where there is no (valid) time. */
export function parseTimeMs(text: string | null | undefined): number | undefined {
  if (text === null || text === undefined || text === "") return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

/** "5m", "3d4h", "2y30d": upstream's HumanDuration. */
export function formatDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return pair(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return pair(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (hours < 192) return pair(days, "d", hours % 24, "h");
  if (hours < 24 * 365 * 2) return `${days}d`;
  const years = Math.floor(days / 365);
  if (hours < 24 * 365 * 8) return pair(years, "y", days % 365, "d");
  return `${years}y`;
}

/** The age of something that began at `since`; "<unknown>" without a time. */
export function formatAge(since: string | null | undefined, nowMs: number): string {
  const ms = parseTimeMs(since);
  return ms === undefined ? "<unknown>" : formatDuration(nowMs - ms);
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
}

function remainder(text: string): { text: string; piece: string } {
  const pieces: [RegExp, string][] = [
    [/^\d{4}/, "2006"],
    [/^-/, "-"],
    [/^(0[1-9]|1[0-2])/, "01"],
    [/^-/, "-"],
    [/^\d{2}/, "02"],
    [/^T/, "T"],
    [/^\d{2}/, "15"],
    [/^:/, ":"],
    [/^\d{2}/, "04"],
    [/^:/, ":"],
    [/^\d{2}([.,]\d+)?/, "05"],
    [/^(Z|[+-]\d{2}:\d{2})$/, "Z07:00"],
  ];
  let rest = text;
  let zone = "";
  for (const [pattern, piece] of pieces) {
    zone = rest;
    const match = pattern.exec(rest);
    if (match === null) return { text: rest, piece };
    rest = rest.slice(match[0].length);
  }
  // All is there but the fraction of the second, which should stand before the zone.
  return { text: zone, piece: ".000000" };
}
