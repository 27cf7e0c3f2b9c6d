/**
 * Exponential back-off, as upstream's flowcontrol.Backoff: the wait doubles with each failure and is
 * forgotten after twice the maximum without one. Used for restarts of containers and for image pulls.
 */

export interface BackoffEntry {
  waitMs: number;
  updatedAtMs: number;
}

export interface BackoffLimits {
  firstMs: number;
  maximumMs: number;
}

export const restartBackoff: BackoffLimits = { firstMs: 10_000, maximumMs: 300_000 };

/** The entry after one more failure, noticed now. */
export function nextBackoff(
  entry: BackoffEntry | undefined,
  nowMs: number,
  limits: BackoffLimits = restartBackoff,
): BackoffEntry {
  if (!entry || nowMs - entry.updatedAtMs > 2 * limits.maximumMs)
    return { waitMs: limits.firstMs, updatedAtMs: nowMs };
  return { waitMs: Math.min(entry.waitMs * 2, limits.maximumMs), updatedAtMs: nowMs };
}

/** Milliseconds left to wait since the failure, 0 when the time has come. */
export function backoffLeftMs(
  entry: BackoffEntry | undefined,
  failedAtMs: number,
  nowMs: number,
  limits: BackoffLimits = restartBackoff,
): number {
  if (!entry || failedAtMs - entry.updatedAtMs > 2 * limits.maximumMs) return 0;
  return Math.max(0, entry.waitMs - (nowMs - failedAtMs));
}

/** A duration in Go's notation, as messages show it: "10s", "1m20s", "1.5s", "350ms". */
export function goDuration(durationMs: number): string {
  if (durationMs === 0) return "0s";
  if (durationMs < 1000) return `${Number(durationMs.toFixed(3))}ms`;
  const totalSeconds = durationMs / 1000;
  const hours = Math.floor(totalSeconds / 3600);
  const minutes = Math.floor((totalSeconds % 3600) / 60);
  const seconds = Number((totalSeconds % 60).toFixed(3));
  const tail = `${seconds}s`;
  if (hours > 0) return `${hours}h${minutes}m${tail}`;
  return minutes > 0 ? `${minutes}m${tail}` : tail;
}
