/** What `trivet status` says of a node that gives no status itself, and of one that has ended by itself. */
import type { Restarts } from "./process-control.ts";
import { findNode, findSupervisor, lastLogLines, readRestarts } from "./process-control.ts";

/** As a part of the status. */
export interface RestartsSeen {
  /** Ends in a row, each within a minute of its start but the first. */
  count: number;
  exitCode: number;
  /** Of the last end. */
  time: string;
}

/** Ends of longer ago say nothing about now. */
const toldMs = 3_600_000;

export function restartsSeen(dataDir: string): RestartsSeen | undefined {
  const ended = readRestarts(dataDir);
  if (ended === undefined || Date.now() - ended.atSeconds * 1000 > toldMs) return undefined;
  const { ends, code, atSeconds } = ended;
  return { count: ends, exitCode: code, time: new Date(atSeconds * 1000).toISOString() };
}

export function restartsLine({ count, exitCode, time }: RestartsSeen): string {
  return `started again after it ended by itself: ${times(count)}, the last time at ${time} (exit code ${exitCode})`;
}

/** Why a node that does not answer doesn't. */
export function silenceReason(dataDir: string): string {
  if (findNode(dataDir) !== undefined) {
    const waitsFor = warningOf(lastLogLines(dataDir, 1));
    return waitsFor === undefined ? "it does not answer yet" : `it does not answer yet: ${waitsFor}`;
  }
  if (findSupervisor(dataDir) === undefined) return "the node is not running";
  const ended = readRestarts(dataDir);
  return ended === undefined ? "it is being started" : backOffReason(ended, lastLogLines(dataDir, 1));
}

function backOffReason({ ends, code, pauseSeconds }: Restarts, lastWords: string): string {
  const why = lastWords === "" ? "" : `; the last line of its log: ${lastWords}`;
  return `the node ended by itself (${times(ends)}, exit code ${code}) and is started again ${pauseSeconds} s after that${why}`;
}

/** What a line of a node's log warns of; undefined where it does not. */
function warningOf(line: string): string | undefined {
  try {
    const { level, msg, error } = JSON.parse(line) as { level: number; msg: string; error?: string };
    if (level < 40) return undefined;
    return error === undefined ? msg : `${msg}: ${error}`;
  } catch {
    return undefined;
  }
}

function times(count: number): string {
  return count === 1 ? "once" : `${count} times in a row`;
}
