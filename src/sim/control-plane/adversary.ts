/** What goes wrong, and when: each seed has a few kinds of faults, some often and some never. */

import { StatusError } from "#base/errors.ts";
import type { HollowPod } from "#lab/hollow/plan.ts";
import type { SeededRandom } from "../seeded-random.ts";
import { perfect } from "./faulty-transport.ts";
import type { FaultyTransport, TransportRates } from "./faulty-transport.ts";
import type { Kubelets } from "./kubelets.ts";
import type { Leaders } from "./leaders.ts";
import type { SimulatedClock } from "./simulated-clock.ts";
import type { Truth } from "./truth.ts";

const kinds = [
  "crashLeader",
  "deposeLeader",
  "cutWatches",
  "stallWatches",
  "silenceNode",
  "crashPod",
  "jumpClock",
  "refusals",
  "conflicts",
  "lostAnswers",
  "expiry",
] as const;

export type FaultKind = (typeof kinds)[number];

export interface AdversaryOptions {
  clock: SimulatedClock;
  random: SeededRandom;
  leaders: Leaders;
  kubelets: Kubelets;
  truth: Truth;
  trace: (line: string) => void;
}

export class Adversary {
  readonly #options: AdversaryOptions;
  readonly #chosen: Set<FaultKind>;
  #stopped = false;

  constructor(options: AdversaryOptions, only: readonly FaultKind[] | undefined) {
    this.#options = options;
    const { random } = options;
    const drawn = kinds.filter(() => random.chance(0.45));
    this.#chosen = new Set(only ?? drawn);
    options.leaders.rates = this.#rates();
    options.trace(`faults: ${[...this.#chosen].join(", ")}`);
  }

  stop(): void {
    this.#stopped = true;
    const { leaders, kubelets } = this.#options;
    leaders.rates = perfect;
    for (const { name } of kubelets.all) kubelets.revive(name);
  }

  async run(): Promise<void> {
    const { clock, random } = this.#options;
    const deeds = [...this.#chosen].flatMap((kind) => this.#deeds(kind));
    while (!this.#stopped && deeds.length > 0) {
      await clock.sleep(random.between(1000, 8000));
      // `stop` may have been called in the meantime.
      if (!this.#isStopped()) random.pick(deeds)!();
    }
  }

  #isStopped(): boolean {
    return this.#stopped;
  }

  #rates(): TransportRates {
    const { random } = this.#options;
    const rate = (kind: FaultKind, most: number): number =>
      this.#chosen.has(kind) ? random.between(most / 10, most) : 0;
    return {
      refused: rate("refusals", 0.15),
      conflict: rate("conflicts", 0.2),
      lostAnswer: rate("lostAnswers", 0.05),
      expired: rate("expiry", 0.5),
      latencyMs: random.between(1, 30),
    };
  }

  #deeds(kind: FaultKind): (() => void)[] {
    const { clock, random, leaders, kubelets, truth, trace } = this.#options;
    switch (kind) {
      case "crashLeader":
        return [() => leaders.crash(random.between(100, 3000))];
      case "deposeLeader":
        return [() => leaders.depose(random.between(0, 15_000))];
      case "cutWatches":
        return [() => this.#someWatches((watch) => watch.cut(random.chance(0.5) ? undefined : broken()))];
      case "stallWatches":
        return [
          () => {
            const forMs = random.between(100, 10_000);
            trace(`watches are ${Math.round(forMs)} ms late`);
            this.#someWatches((watch) => watch.stall(forMs));
          },
        ];
      case "silenceNode":
        return [() => this.#silenceNode()];
      case "crashPod": {
        const crash = (): void => {
          const pod = random.pick(
            truth.list<HollowPod>("Pod").filter((each) => each.status?.phase === "Running"),
          );
          if (pod !== undefined) kubelets.crash(pod);
        };
        return [crash, crash];
      }
      case "jumpClock":
        return [
          () => {
            if (!random.chance(0.3)) return;
            const byMs = random.between(1000, 600_000);
            trace(`the clock jumps ${Math.round(byMs / 1000)} s ahead`);
            clock.aheadMs += byMs;
          },
        ];
      default:
        return [];
    }
  }

  #silenceNode(): void {
    const { clock, random, kubelets, trace } = this.#options;
    const silent = kubelets.all.filter((each) => each.silent).length;
    const kubelet = random.pick(kubelets.all.filter((each) => !each.silent));
    if (kubelet === undefined || silent >= 2) return;
    const forMs = random.chance(0.3) ? random.between(60_000, 500_000) : random.between(5000, 90_000);
    trace(`${kubelet.name} is silent for ${Math.round(forMs / 1000)} s`);
    kubelets.silence(kubelet.name);
    clock.setTimer(forMs, () => kubelets.revive(kubelet.name));
  }

  #someWatches(deed: (watch: FaultyTransport["watches"] extends Set<infer W> ? W : never) => void): void {
    const { random, leaders } = this.#options;
    const all = random.chance(0.3);
    for (const watch of leaders.watches()) if (all || random.chance(0.3)) deed(watch);
  }
}

function broken(): Error {
  return new StatusError("ServiceUnavailable", "simulated: the connection broke");
}
