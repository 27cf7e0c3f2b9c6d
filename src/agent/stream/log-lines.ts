/** The format of CRI logs: "TIME STREAM FLAG text", where flag P marks a part of a longer line. Pure. */

export interface LogSelection {
  timestamps: boolean;
  /** Lines before this time (ms since 1970) are left out. */
  sinceMs: number | undefined;
}

/** What a reader is shown of one raw line (without its newline); undefined: nothing. */
export function renderLogLine(line: string, selection: LogSelection): string | undefined {
  const first = line.indexOf(" ");
  const second = line.indexOf(" ", first + 1);
  const third = line.indexOf(" ", second + 1);
  if (first === -1 || second === -1 || third === -1) return undefined;
  const time = line.slice(0, first);
  if (selection.sinceMs !== undefined && Date.parse(time) < selection.sinceMs) return undefined;
  const text = line.slice(third + 1);
  const partial = line.slice(second + 1, third).split(":")[0] === "P";
  return `${selection.timestamps ? `${time} ` : ""}${text}${partial ? "" : "\n"}`;
}
