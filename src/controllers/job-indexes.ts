/** Completion indexes of Jobs: their text form ("0-2,5") and where pods carry them. */
import type { Pod } from "./kubernetes.ts";

export const indexAnnotation = "batch.kubernetes.io/job-completion-index";

/** -1 for a pod without index. */
export function indexOf(pod: Pod): number {
  const text = pod.metadata.annotations?.[indexAnnotation];
  return text === undefined || !/^\d+$/.test(text) ? -1 : Number(text);
}

export function parseIndexes(text: string | undefined, limit: number): Set<number> {
  const indexes = new Set<number>();
  for (const part of (text ?? "").split(",")) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part.trim());
    if (match === null) continue;
    const last = Math.min(Number(match[2] ?? match[1]), limit - 1);
    for (let index = Number(match[1]); index <= last; index++) indexes.add(index);
  }
  return indexes;
}

/** Runs of three and more, and of two, are written with a dash or comma as upstream does: "0,1,3-5". */
export function formatIndexes(indexes: Iterable<number>): string {
  const sorted = [...indexes].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let at = 0; at < sorted.length;) {
    let end = at;
    while (sorted[end + 1] === sorted[end]! + 1) end++;
    if (end === at) parts.push(String(sorted[at]));
    else if (end === at + 1) parts.push(`${sorted[at]},${sorted[end]}`);
    else parts.push(`${sorted[at]}-${sorted[end]}`);
    at = end + 1;
  }
  return parts.join(",");
}
