/**
 * A whole control plane from one seed: the real API over a datastore in memory, the real control loops and
 * scheduler, and nodes that only pretend. People and faults disturb it for a while; it must keep its promises all
 * the time, and afterwards come to what was asked for and be quiet.
 */

import { generateKeyPairSync } from "node:crypto";
import { createApiServer } from "#api/server.ts";
import type { ApiServer } from "#api/server.ts";
import type { Logger } from "#base/ports.ts";
import { createClient } from "#client/client.ts";
import { allKinds } from "#kinds/all.ts";
import { SeededRandom } from "../seeded-random.ts";
import { Violation } from "../violation.ts";
import { Adversary } from "./adversary.ts";
import type { FaultKind } from "./adversary.ts";
import { unfinished } from "./convergence.ts";
import { Kubelets } from "./kubelets.ts";
import { Leaders } from "./leaders.ts";
import { OnceInvariants } from "./once-invariants.ts";
import { SimulatedClock } from "./simulated-clock.ts";
import { SizeInvariants } from "./size-invariants.ts";
import { TermBackend } from "./term-backend.ts";
import { Truth } from "./truth.ts";
import { Workload } from "./workload.ts";

const nodeCount = 6;
const faultyMs = 240_000;
/** Longer than the longest pause between attempts, and than a pod takes that waits for a lost node. */
const convergenceLimitMs = 1_800_000;
const quietMs = 90_000;
/** Lists and watches begin anew, histories are forgotten: none of it may change anything. */
const compactEveryMs = 30_000;

export interface ControlPlaneOptions {
  trace?: (line: string) => void;
  /** Instead of the kinds of faults that the seed draws. */
  only?: readonly FaultKind[];
  /** Deliberate mistake: writes of former leaders are taken. */
  ignoresFence?: boolean;
}

export interface ControlPlaneReport {
  seed: number;
  /** Transactions of the datastore. */
  steps: number;
  /** From the end of the faults until everything was as asked for. */
  convergedMs: number;
  /** Writes of former leaders that the datastore refused. */
  refusedWrites: number;
  hash: number;
}

let serviceAccountKey: string | undefined;

export class ControlPlaneSimulation {
  readonly #seed: number;
  readonly #options: ControlPlaneOptions;
  readonly #clock = new SimulatedClock();
  readonly #backend = new TermBackend();
  readonly #truth = new Truth(this.#clock, this.#backend);
  readonly #sizes = new SizeInvariants(this.#clock, this.#truth);
  readonly #api: ApiServer;
  readonly #leaders: Leaders;
  readonly #kubelets: Kubelets;
  readonly #workload: Workload;
  #bug: Violation | undefined;

  constructor(seed: number, options: ControlPlaneOptions = {}) {
    this.#seed = seed;
    this.#options = options;
    this.#backend.ignoresFence = options.ignoresFence === true;
    new OnceInvariants(this.#clock, this.#truth, this.#sizes.lostCreations);
    const [clock, truth, logger] = [this.#clock, this.#truth, this.#logger()];
    const trace = (line: string): void => this.#trace(line);
    this.#api = createApiServer({
      backend: this.#backend,
      kinds: allKinds,
      clock,
      random: this.#stream("api"),
      logger,
      serviceCidr: "10.43.0.0/16",
      serviceAccounts: { issuer: "https://simulated", privateKey: keyForTokens() },
      bootstrap: false,
    });
    const api = this.#api.handler;
    this.#leaders = new Leaders({
      api,
      backend: this.#backend,
      clock,
      seed,
      logger,
      trace,
      onLostAnswer: ({ method, path, body }) => {
        if (method === "POST" && path.endsWith("/pods")) this.#noteLostCreation(body);
      },
    });
    this.#kubelets = new Kubelets({
      api,
      clock,
      random: this.#stream("kubelets"),
      truth,
      count: nodeCount,
      trace,
    });
    const people = createClient({
      transport: async (request) => {
        await clock.sleep(1);
        return await api(request);
      },
      userAgent: "person",
      user: { name: "system:admin", groups: ["system:masters"] },
      clock,
    });
    this.#workload = new Workload({
      client: people,
      random: this.#stream("people"),
      truth,
      sizes: this.#sizes,
      trace,
    });
  }

  /** Rejects with the first broken promise. */
  async run(): Promise<ControlPlaneReport> {
    try {
      await this.#begin();
      await this.#disturb();
      const convergedMs = await this.#converge();
      await this.#beQuiet();
      const { transactions, refusedWrites } = this.#backend;
      return { seed: this.#seed, steps: transactions, convergedMs, refusedWrites, hash: this.#truth.hash };
    } finally {
      this.#leaders.close();
      await this.#api.close();
    }
  }

  async #begin(): Promise<void> {
    await this.#until(this.#api.ready());
    const client = createClient({
      transport: this.#api.handler,
      userAgent: "simulation",
      user: { name: "system:admin", groups: ["system:masters"] },
      clock: this.#clock,
    });
    const namespaces = { group: "", version: "v1", plural: "namespaces" };
    for (const name of ["default", "kube-system", "kube-node-lease"]) {
      await this.#until(
        client.create(namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name } }),
      );
    }
    await this.#until(this.#kubelets.start());
    this.#compactLater(0);
    this.#leaders.elect();
    await this.#pass(2000);
    await this.#until(this.#workload.start());
  }

  async #disturb(): Promise<void> {
    const random = this.#stream("faults");
    const adversary = new Adversary(
      {
        clock: this.#clock,
        random,
        leaders: this.#leaders,
        kubelets: this.#kubelets,
        truth: this.#truth,
        trace: (line) => this.#trace(line),
      },
      this.#options.only,
    );
    void adversary.run();
    const endMs = this.#clock.monotonicMs() + faultyMs;
    const hurryMs = random.between(4000, 20_000);
    while (this.#clock.monotonicMs() < endMs) {
      await this.#pass(random.between(0, 2 * hurryMs));
      await this.#until(this.#workload.act());
    }
    this.#trace("the faults end");
    adversary.stop();
    await this.#until(this.#workload.finish());
  }

  /** How long it took. */
  async #converge(): Promise<number> {
    const beganMs = this.#clock.monotonicMs();
    for (let left = ["not looked at"]; left.length > 0; left = unfinished(this.#truth)) {
      if (this.#clock.monotonicMs() - beganMs > convergenceLimitMs)
        throw new Violation(
          `no convergence in ${convergenceLimitMs / 60_000} minutes: ${left.slice(0, 5).join("; ")}`,
        );
      await this.#pass(1000);
    }
    return this.#clock.monotonicMs() - beganMs;
  }

  /** Whoever has what was asked for has nothing to do. */
  async #beQuiet(): Promise<void> {
    await this.#pass(60_000);
    const before = this.#truth.changes;
    await this.#pass(quietMs);
    const changes = this.#truth.changes - before;
    if (changes > 0)
      throw new Violation(
        `${changes} changes after everything was done: ${this.#truth.last.slice(-4).join("; ")}`,
      );
    const left = unfinished(this.#truth);
    if (left.length > 0) throw new Violation(`it did not stay so: ${left.slice(0, 5).join("; ")}`);
  }

  async #until<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    for (let waited = 0; !settled; waited++) {
      if (waited > 20_000) throw new Violation("an answer to a person or a node did not come");
      await this.#pass(1);
    }
    return await promise;
  }

  async #pass(ms: number): Promise<void> {
    const endMs = this.#clock.monotonicMs() + ms;
    await this.#clock.runUntil(endMs, () => this.#leaders.requests + this.#backend.transactions);
    this.#truth.failure ??= this.#bug;
    if (this.#truth.failure !== undefined) throw this.#truth.failure;
  }

  /** Keeps as much history as passes between two calls. */
  #compactLater(revision: number): void {
    this.#clock.setTimer(compactEveryMs, () => {
      void this.#backend.readRevision().then(async (now) => {
        if (revision > 1 && now > revision) await this.#backend.compact(revision);
        this.#compactLater(now > revision ? now : 0);
      });
    });
  }

  #noteLostCreation(body: Uint8Array): void {
    const pod = JSON.parse(new TextDecoder().decode(body)) as {
      metadata: { ownerReferences?: { uid: string }[] };
    };
    for (const { uid } of pod.metadata.ownerReferences ?? []) this.#sizes.lostCreations.add(uid);
  }

  #stream(name: string): SeededRandom {
    return new SeededRandom(this.#seed, name);
  }

  #trace(line: string): void {
    const { trace } = this.#options;
    trace?.(`${(this.#clock.monotonicMs() / 1000).toFixed(3).padStart(9)} ${line}`);
  }

  /** A plan or a request that fails by a bug is a broken promise too. */
  #logger(): Logger {
    const say = (message: string, fields?: Record<string, unknown>): void =>
      this.#trace(`${message} ${fields === undefined ? "" : JSON.stringify(fields)}`);
    return {
      debug: say,
      info: say,
      warn: say,
      error: (message, fields) => {
        say(message, fields);
        this.#bug ??= new Violation(`${message} ${JSON.stringify(fields)}`);
      },
    };
  }
}

/** No token is issued in the simulation: what the key is changes nothing. */
function keyForTokens(): string {
  serviceAccountKey ??= generateKeyPairSync("ec", { namedCurve: "P-256" })
    .privateKey.export({ type: "pkcs8", format: "pem" })
    .toString();
  return serviceAccountKey;
}
