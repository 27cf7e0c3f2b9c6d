/** How much memory Linux counts for a process. */
import { readFileSync } from "node:fs";

export interface Memory {
  residentMb: number;
  /** Of it, what is not a file's. */
  privateMb: number;
}

export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return { residentMb: field(text, "Rss") / 1024, privateMb: field(text, "Anonymous") / 1024 };
}

function field(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? NaN);
}
