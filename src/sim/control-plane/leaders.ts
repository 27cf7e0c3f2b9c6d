/** Who runs the control loops: a manager per leadership, the former ones as long as they do not know that they are. */

import type { Leadership } from "#base/backend.ts";
import type { HttpHandler, HttpRequest } from "#base/http.ts";
import type { Logger } from "#base/ports.ts";
import { createClient } from "#client/client.ts";
import { startManager } from "#manager/manager.ts";
import type { Manager } from "#manager/manager.ts";
import { SeededRandom } from "../seeded-random.ts";
import { FaultyTransport, perfect } from "./faulty-transport.ts";
import type { TransportRates } from "./faulty-transport.ts";
import type { SimulatedClock } from "./simulated-clock.ts";
import type { TermBackend } from "./term-backend.ts";
import type { WatchPipe } from "./watch-pipe.ts";

export interface LeadersOptions {
  api: HttpHandler;
  backend: TermBackend;
  clock: SimulatedClock;
  seed: number;
  logger: Logger;
  onLostAnswer: (request: HttpRequest) => void;
  trace: (line: string) => void;
}

interface Leader {
  manager: Manager;
  transport: FaultyTransport;
  tell(leadership: Leadership): void;
}

export class Leaders {
  readonly #options: LeadersOptions;
  readonly #former = new Set<Leader>();
  #current: Leader | undefined;
  #rates: TransportRates = perfect;
  #requests = 0;

  constructor(options: LeadersOptions) {
    this.#options = options;
  }

  get requests(): number {
    return this.#requests;
  }

  set rates(rates: TransportRates) {
    this.#rates = rates;
    for (const { transport } of this.#all()) transport.rates = rates;
  }

  *watches(): Iterable<WatchPipe> {
    for (const { transport } of this.#all()) yield* transport.watches;
  }

  elect(): void {
    const { backend, trace } = this.#options;
    backend.term++;
    trace(`term ${backend.term} begins`);
    this.#current = this.#start(backend.term);
  }

  /** The leader's process dies in the middle of what it does; another leads after a while. */
  crash(electionMs: number): void {
    const crashed = this.#current;
    if (crashed === undefined) return;
    this.#current = undefined;
    this.#options.trace("the leader crashes");
    crashed.transport.kill();
    void crashed.manager.close();
    this.#options.backend.term++;
    this.#options.clock.setTimer(electionMs, () => this.elect());
  }

  /** Another leads at once; the former leader goes on until it hears of it. */
  depose(unawareMs: number): void {
    const deposed = this.#current;
    if (deposed === undefined) return;
    this.#options.trace(`the leader is deposed, and knows after ${Math.round(unawareMs)} ms`);
    this.#former.add(deposed);
    this.#options.clock.setTimer(unawareMs, () => {
      deposed.tell({ leading: false, term: this.#options.backend.term });
      this.#former.delete(deposed);
      void deposed.manager.close();
    });
    this.elect();
  }

  close(): void {
    for (const { manager, transport } of this.#all()) {
      transport.kill();
      void manager.close();
    }
  }

  *#all(): Iterable<Leader> {
    if (this.#current !== undefined) yield this.#current;
    yield* this.#former;
  }

  #start(term: number): Leader {
    const { api, clock, seed, logger, onLostAnswer, trace } = this.#options;
    const random = new SeededRandom(seed, `leader ${term}`);
    const transport = new FaultyTransport({
      api: (request) => {
        this.#requests++;
        return api(request);
      },
      clock,
      random: new SeededRandom(seed, `transport ${term}`),
      onLostAnswer,
      trace,
    });
    transport.rates = this.#rates;
    let tell: Leader["tell"] = () => undefined;
    const manager = startManager({
      client: createClient({
        transport: transport.handler,
        userAgent: "manager",
        user: { name: "system:admin", groups: ["system:masters"] },
        clock,
      }),
      onLeadership: (callback) => {
        tell = callback;
        callback({ leading: true, term });
        return () => undefined;
      },
      clock,
      random,
      logger,
      nodeName: "simulated",
      clusterCidr: "10.42.0.0/16",
      serviceCidr: "10.43.0.0/16",
      rootCa: "simulated",
    });
    return { manager, transport, tell: (leadership) => tell(leadership) };
  }
}
