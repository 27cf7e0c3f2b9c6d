/** A disk whose flushes take time, and which a power cut leaves with what was flushed and any part of the rest. */

import type { Disk, DiskFile } from "#replica/ports.ts";
import type { SeededRandom } from "./seeded-random.ts";

interface Write {
  position: number;
  bytes: Uint8Array;
}

interface File {
  /** As it is read. */
  visible: Buffer;
  durable: Buffer;
  /** Written since the last flush, in order. */
  unflushed: Write[];
}

const sectorBytes = 512;

export class SimulatedDisk implements Disk {
  /** How long a flush takes now. */
  flushMs = 2;
  /** A deliberate fault: flushes are reported, and do not happen. */
  liesAboutFlushes = false;
  readonly #files = new Map<string, File>();
  readonly #random: SeededRandom;
  readonly #later: (delayMs: number, action: () => void) => void;

  /** `later` belongs to the machine: what was asked for by one that has crashed never comes. */
  constructor(random: SeededRandom, later: (delayMs: number, action: () => void) => void) {
    this.#random = random;
    this.#later = later;
  }

  list(): string[] {
    return [...this.#files.keys()];
  }

  open(name: string): DiskFile {
    const file = this.#files.get(name) ?? {
      visible: Buffer.alloc(0),
      durable: Buffer.alloc(0),
      unflushed: [],
    };
    this.#files.set(name, file);
    return {
      get sizeBytes() {
        return file.visible.length;
      },
      read: (position, length) => Uint8Array.from(file.visible.subarray(position, position + length)),
      write: (position, bytes) => {
        const write = { position, bytes: Uint8Array.from(bytes) };
        file.visible = written(file.visible, write);
        file.unflushed.push(write);
      },
      flush: (done) => {
        const count = file.unflushed.length;
        this.#later(this.flushMs * this.#random.between(0.5, 2), () => {
          if (!this.liesAboutFlushes) {
            for (const write of file.unflushed.splice(0, count)) file.durable = written(file.durable, write);
          }
          done(undefined);
        });
      },
      close: () => undefined,
    };
  }

  rename(from: string, to: string): void {
    const file = this.#files.get(from);
    if (file === undefined) throw new Error(`there is no ${from}`);
    this.#files.delete(from);
    this.#files.set(to, file);
  }

  remove(name: string): void {
    this.#files.delete(name);
  }

  flushNames(): void {
    // Names are durable at once here.
  }

  /** Of what was not flushed, each write is there, or not, or a first part of it. */
  powerCut(): void {
    for (const file of this.#files.values()) {
      for (const write of file.unflushed) {
        if (this.#random.chance(0.5)) continue;
        const sectors = Math.ceil(write.bytes.length / sectorBytes);
        const kept = this.#random.chance(0.5)
          ? write.bytes.length
          : this.#random.integer(sectors) * sectorBytes;
        file.durable = written(file.durable, { ...write, bytes: write.bytes.subarray(0, kept) });
      }
      file.unflushed = [];
      file.visible = Buffer.from(file.durable);
    }
  }
}

function written(file: Buffer, { position, bytes }: Write): Buffer {
  const end = position + bytes.length;
  const result = end > file.length ? Buffer.concat([file, Buffer.alloc(end - file.length)]) : file;
  result.set(bytes, position);
  return result;
}
