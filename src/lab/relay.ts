/**
 * What the user-space switch does with each frame, free of sockets and clocks: it learns who is where, floods
 * what it does not know, and lets cuts, losses, delays and duplicates happen. One port is one host.
 */

export interface RelayFaults {
  /** Frames from the first port to the second are dropped. */
  cuts: [from: number, to: number][];
  /** Percent of the frames from a port that are lost. */
  loss: Record<number, number>;
  /** What happens to the frames that a port sends to other hosts. */
  delay: Record<number, RelayDelay>;
}

export interface RelayDelay {
  /** Milliseconds that each frame is under way. */
  ms: number;
  /** At most this much is added at random: frames overtake each other. Milliseconds. */
  jitterMs: number;
  /** Percent of the frames that arrive twice. */
  duplicatePercent: number;
}

export interface Delivery {
  port: number;
  afterMs: number;
}

const addressBytes = 6;

export class Relay {
  readonly #ports: readonly number[];
  /** In [0, 1). */
  readonly #random: () => number;
  readonly #locations = new Map<string, number>();
  #cuts = new Set<string>();
  #faults: RelayFaults = { cuts: [], loss: {}, delay: {} };

  constructor(ports: readonly number[], random: () => number) {
    this.#ports = ports;
    this.#random = random;
  }

  setFaults(faults: RelayFaults): void {
    this.#faults = faults;
    this.#cuts = new Set(faults.cuts.map(([from, to]) => `${from}-${to}`));
  }

  /** Where an Ethernet frame that came in at a port is to go, and after how long. */
  receive(from: number, frame: Uint8Array): Delivery[] {
    if (!this.#ports.includes(from) || frame.length < 2 * addressBytes) return [];
    const source = addressAt(frame, addressBytes);
    this.#locations.set(source, from);
    if (this.#chance(this.#faults.loss[from])) return [];
    // The lowest bit of the first byte says that a frame is for many.
    const known = (frame[0]! & 1) === 1 ? undefined : this.#locations.get(addressAt(frame, 0));
    const targets = known === undefined ? this.#ports : [known];
    const deliveries: Delivery[] = [];
    for (const port of targets) {
      if (port === from || this.#cuts.has(`${from}-${port}`)) continue;
      deliveries.push({ port, afterMs: this.#delayMs(from) });
      if (this.#chance(this.#faults.delay[from]?.duplicatePercent))
        deliveries.push({ port, afterMs: this.#delayMs(from) });
    }
    return deliveries;
  }

  #delayMs(from: number): number {
    const delay = this.#faults.delay[from];
    return delay === undefined ? 0 : delay.ms + delay.jitterMs * this.#random();
  }

  #chance(percent: number | undefined): boolean {
    return percent !== undefined && this.#random() * 100 < percent;
  }
}

function addressAt(frame: Uint8Array, at: number): string {
  let text = "";
  for (let place = at; place < at + addressBytes; place++) text += String.fromCharCode(frame[place]!);
  return text;
}
