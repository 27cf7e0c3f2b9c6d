/** The verdict of a probe over time: thresholds, initial values, what a change means. Pure. */
import type { Probe } from "../types.ts";

export type ProbeKind = "liveness" | "readiness" | "startup";

export interface ProbeState {
  /** The verdict in force. */
  success: boolean;
  /** Whether the verdict was reached by probing (or stands from before). */
  known: boolean;
  lastSuccess: boolean | undefined;
  run: number;
}

/** Until probes say something, a container is alive, not ready, and not started. */
export function initialProbeState(kind: ProbeKind): ProbeState {
  return { success: kind === "liveness", known: false, lastSuccess: undefined, run: 0 };
}

/** The state after one more result. A verdict changes only after enough equal results in a row. */
export function afterProbe(state: ProbeState, kind: ProbeKind, probe: Probe, success: boolean): ProbeState {
  const run = state.lastSuccess === success ? state.run + 1 : 1;
  const threshold = success ? (probe.successThreshold ?? 1) : (probe.failureThreshold ?? 3);
  const decided = run >= threshold;
  // A readiness probe that has never succeeded leaves the container unready from the start.
  const settled = decided || (kind === "readiness" && !state.known && !success);
  return {
    success: decided ? success : state.success,
    known: state.known || settled,
    lastSuccess: success,
    run,
  };
}

/** The container must be stopped because of this probe. */
export function isFatal(state: ProbeState, kind: ProbeKind): boolean {
  return kind !== "readiness" && state.known && !state.success;
}
