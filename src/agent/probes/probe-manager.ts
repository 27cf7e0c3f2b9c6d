/**
 * Runs the probes of all running containers at their periods and keeps their verdicts by container id.
 * A startup probe holds the others back until it has succeeded.
 */
import type { Clock, Random, Timer } from "#base/ports.ts";
import type { RuntimeClient } from "../cri/runtime-client.ts";
import { afterProbe, initialProbeState, isFatal } from "../plan/probe-state.ts";
import type { ProbeKind, ProbeState } from "../plan/probe-state.ts";
import type { AnyContainer, Pod, Probe } from "../types.ts";
import { runProbe } from "./probe-runner.ts";

export interface ProbeManagerOptions {
  runtime: RuntimeClient;
  clock: Clock;
  random: Random;
  /** A verdict changed: the pod is to be looked at. */
  onVerdict(podUid: string): void;
  onFailure(pod: Pod, containerName: string, kind: ProbeKind, message: string): void;
}

export interface ProbedContainer {
  pod: Pod;
  container: AnyContainer;
  containerId: string;
  podIp: string;
  startedAtMs: number;
  /** It was ready before the agent was restarted, and counts as ready until a probe says otherwise. */
  wasReady: boolean;
}

interface Watched {
  target: ProbedContainer;
  states: Map<ProbeKind, ProbeState>;
  timers: Map<ProbeKind, Timer>;
  stopped: boolean;
}

export class ProbeManager {
  #options: ProbeManagerOptions;
  #watched = new Map<string, Watched>();

  constructor(options: ProbeManagerOptions) {
    this.#options = options;
  }

  /** Begins to probe a running container. Idempotent. */
  watch(target: ProbedContainer): void {
    if (this.#watched.has(target.containerId)) return;
    const watched: Watched = { target, states: new Map(), timers: new Map(), stopped: false };
    this.#watched.set(target.containerId, watched);
    for (const kind of kinds) {
      const probe = probeOf(target.container, kind);
      if (!probe) continue;
      const state = initialProbeState(kind);
      if (target.wasReady && kind !== "liveness")
        watched.states.set(kind, { ...state, success: true, known: true });
      else watched.states.set(kind, state);
      this.#schedule(watched, kind, probe, this.#firstDelayMs(target, probe));
    }
  }

  /** Ends the probes of all containers of the pod that are not in `keep`. */
  retain(podUid: string, keep: ReadonlySet<string>): void {
    for (const [id, watched] of this.#watched)
      if (watched.target.pod.metadata.uid === podUid && !keep.has(id)) this.stop(id);
  }

  stop(containerId: string): void {
    const watched = this.#watched.get(containerId);
    if (!watched) return;
    watched.stopped = true;
    for (const timer of watched.timers.values()) timer.cancel();
    this.#watched.delete(containerId);
  }

  started(containerId: string): boolean {
    const watched = this.#watched.get(containerId);
    return watched !== undefined && watched.states.get("startup")?.success !== false;
  }

  ready(containerId: string): boolean {
    const watched = this.#watched.get(containerId);
    return this.started(containerId) && watched?.states.get("readiness")?.success !== false;
  }

  failed(containerId: string): "liveness" | "startup" | undefined {
    const states = this.#watched.get(containerId)?.states;
    for (const kind of ["liveness", "startup"] as const) {
      const state = states?.get(kind);
      if (state && isFatal(state, kind)) return kind;
    }
    return undefined;
  }

  close(): void {
    for (const id of this.#watched.keys()) this.stop(id);
  }

  #firstDelayMs(target: ProbedContainer, probe: Probe): number {
    const initialMs = (probe.initialDelaySeconds ?? 0) * 1000;
    const ageMs = this.#options.clock.nowMs() - target.startedAtMs;
    if (ageMs < initialMs) return initialMs - ageMs;
    // After a restart of the agent all probes would fall on the same instant.
    return ageMs > 10_000 ? this.#options.random.integer((probe.periodSeconds ?? 10) * 1000) : 0;
  }

  #schedule(watched: Watched, kind: ProbeKind, probe: Probe, delayMs: number): void {
    if (watched.stopped) return;
    const timer = this.#options.clock.setTimer(delayMs, () => void this.#run(watched, kind, probe));
    watched.timers.set(kind, timer);
  }

  async #run(watched: Watched, kind: ProbeKind, probe: Probe): Promise<void> {
    const { target, states } = watched;
    const startup = states.get("startup");
    const held = kind !== "startup" && startup !== undefined && !startup.success;
    const done = kind === "startup" && startup?.known === true;
    if (done) return;
    if (held) {
      this.#schedule(watched, kind, probe, 250);
      return;
    }
    const { runtime } = this.#options;
    const result = await runProbe({ ...target, probe, runtime }).catch((error: unknown) => ({
      success: false,
      message: error instanceof Error ? error.message : String(error),
    }));
    if (watched.stopped) return;
    const before = states.get(kind)!;
    const after = afterProbe(before, kind, probe, result.success);
    states.set(kind, after);
    if (!result.success) this.#options.onFailure(target.pod, target.container.name, kind, result.message);
    if (before.success !== after.success || before.known !== after.known)
      this.#options.onVerdict(target.pod.metadata.uid ?? "");
    // A container that is about to be stopped for this is not probed again.
    if (isFatal(after, kind)) return;
    this.#schedule(watched, kind, probe, (probe.periodSeconds ?? 10) * 1000);
  }
}

const kinds: readonly ProbeKind[] = ["startup", "liveness", "readiness"];

function probeOf(container: AnyContainer, kind: ProbeKind): Probe | undefined {
  if (kind === "liveness") return container.livenessProbe;
  return kind === "readiness" ? container.readinessProbe : container.startupProbe;
}
