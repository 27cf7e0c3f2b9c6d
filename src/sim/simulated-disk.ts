/**
 * A disk as bad as real ones: flushes take time and may fail, a power cut leaves what was flushed and any
 * part of the rest, room runs out, bits flip, and the machine may die before or after any operation. It
 * knows files, not what is in them.
 */

import type { Disk, DiskFile } from "#replica/ports.ts";
import type { SeededRandom } from "./seeded-random.ts";

/** Thrown into the code of a machine that dies within an operation, and into all that it tries afterwards. */
export class CrashSignal extends Error {
  override name = "CrashSignal";
}

/** What a running machine gives to its disk. All of it ends with the machine's life. */
export interface DiskUser {
  isAlive(): boolean;
  later(delayMs: number, action: () => void): void;
  /** Before and after each operation. May throw CrashSignal. */
  onOperation(name: string): void;
  /** These bytes of a file have just become durable. */
  onDurable(name: string, position: number, bytes: Uint8Array): void;
}

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
  /** Where the last writes began, the newest last. */
  recent: number[];
}

const sectorBytes = 512;

export class SimulatedDisk {
  /** How long a flush takes now. */
  flushMs = 2;
  /** No file can grow. */
  isFull = false;
  /** Asked at the end of each flush: it is answered with an error then, and only part of it has happened. */
  failsFlush: (() => boolean) | undefined;
  /** A deliberate fault: flushes are reported, and do not happen. */
  liesAboutFlushes = false;
  #files = new Map<string, File>();
  /** The directory as it was flushed, and then after each change since. */
  #names: Map<string, File>[] = [new Map()];
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /** The disk as one life of the machine sees it. */
  mount(user: DiskUser): Disk {
    const guarded = <T>(name: string, operation: () => T): T => {
      if (!user.isAlive()) throw new CrashSignal(name);
      user.onOperation(`before ${name}`);
      const result = operation();
      user.onOperation(`after ${name}`);
      return result;
    };
    return {
      list: () => [...this.#files.keys()],
      open: (name) => this.#open(name, user, guarded),
      rename: (from, to) => guarded("rename", () => this.#rename(from, to)),
      remove: (name) => guarded("remove", () => this.#changeNames(() => this.#files.delete(name))),
      flushNames: () => guarded("flushNames", () => (this.#names = [new Map(this.#files)])),
    };
  }

  /** As it would be read by a machine that starts now, after a power cut that loses all that it can. */
  durableFiles(): Map<string, Uint8Array> {
    return new Map([...(this.#names[0] ?? [])].map(([name, { durable }]) => [name, durable]));
  }

  /**
   * Of what was not flushed, each write is there, or not, or some sectors of it are. Changes of names happen in
   * order: some first part of them has.
   */
  powerCut(): void {
    const names = this.#random.pick(this.#names) ?? new Map<string, File>();
    for (const file of new Set([...names.values(), ...this.#files.values()])) {
      for (const write of file.unflushed) this.#tear(file, write);
      file.unflushed = [];
      file.visible = Buffer.from(file.durable);
    }
    this.#files = new Map(names);
    this.#names = [new Map(names)];
  }

  /** Everything is gone: another disk. */
  wipe(): void {
    this.#files = new Map();
    this.#names = [new Map()];
  }

  /**
   * Flips a bit in what is at rest, not in the last two writes of the newest file: whether those were flushed
   * nothing on the disk can tell. Returns where, or undefined if there is nothing.
   */
  rot(): string | undefined {
    const names = [...this.#files.keys()].filter((name) => name.startsWith("log-")).toSorted();
    const name = this.#random.pick(names);
    const file = name === undefined ? undefined : this.#files.get(name);
    if (name === undefined || file === undefined) return undefined;
    let end = name === names.at(-1) ? (file.recent.at(-2) ?? 0) : file.visible.length;
    while (end > 0 && file.visible[end - 1] === 0) end--;
    if (end === 0) return undefined;
    const at = this.#random.integer(end);
    const bit = 1 << this.#random.integer(8);
    file.visible[at] = (file.visible[at] ?? 0) ^ bit;
    file.durable[at] = file.visible[at] ?? 0;
    return `${name} at ${at}`;
  }

  #open(name: string, user: DiskUser, guarded: <T>(name: string, operation: () => T) => T): DiskFile {
    if (!user.isAlive()) throw new CrashSignal("open");
    let file = this.#files.get(name);
    if (file === undefined) {
      const made: File = {
        visible: Buffer.alloc(0),
        durable: Buffer.alloc(0),
        unflushed: [],
        recent: [],
      };
      file = made;
      guarded("create", () => this.#changeNames(() => this.#files.set(name, made)));
    }
    const opened = file;
    return {
      get sizeBytes() {
        return opened.visible.length;
      },
      read: (position, length) => Uint8Array.from(opened.visible.subarray(position, position + length)),
      write: (position, bytes) => guarded("write", () => this.#write(opened, position, bytes)),
      flush: (done) => {
        guarded("flush", () => undefined);
        this.#flush(name, opened, user, done);
      },
      close: () => undefined,
    };
  }

  #write(file: File, position: number, bytes: Uint8Array): void {
    if (this.isFull && position + bytes.length > file.visible.length) {
      throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
    }
    const write = { position, bytes: Uint8Array.from(bytes) };
    file.visible = written(file.visible, write);
    file.unflushed.push(write);
    file.recent = [...file.recent.slice(-3), position];
  }

  #flush(name: string, file: File, user: DiskUser, done: (error: Error | undefined) => void): void {
    const count = file.unflushed.length;
    user.later(this.flushMs * this.#random.between(0.5, 2), () => {
      user.onOperation("before the end of a flush");
      const writes = this.liesAboutFlushes ? [] : file.unflushed.splice(0, count);
      if (this.failsFlush?.() === true) {
        this.failsFlush = undefined;
        // The kernel has dropped what it could not write, and reads still show it until the next restart.
        for (const write of writes) this.#tear(file, write);
        done(new Error("EIO: i/o error"));
        return;
      }
      for (const write of writes) {
        file.durable = written(file.durable, write);
        user.onDurable(name, write.position, write.bytes);
      }
      user.onOperation("after a flush");
      done(undefined);
    });
  }

  #tear(file: File, write: Write): void {
    const { position, bytes } = write;
    if (this.#random.chance(0.5)) return;
    if (this.#random.chance(0.5)) {
      file.durable = written(file.durable, write);
      return;
    }
    const share = this.#random.fraction();
    const inOrder = this.#random.chance(0.5);
    // The file's size is a matter of names: it has grown, or none of this is there.
    file.durable = written(file.durable, { position: position + bytes.length, bytes: new Uint8Array(0) });
    for (let at = 0; at < bytes.length;) {
      const next = Math.min(
        (Math.floor((position + at) / sectorBytes) + 1) * sectorBytes - position,
        bytes.length,
      );
      const isKept = inOrder ? next <= share * bytes.length : this.#random.chance(share);
      if (isKept) file.durable.set(bytes.subarray(at, next), position + at);
      at = next;
    }
  }

  #rename(from: string, to: string): void {
    const file = this.#files.get(from);
    if (file === undefined) throw new Error(`there is no ${from}`);
    this.#changeNames(() => {
      this.#files.delete(from);
      this.#files.set(to, file);
    });
  }

  #changeNames(change: () => unknown): void {
    change();
    this.#names.push(new Map(this.#files));
  }
}

function written(file: Buffer, { position, bytes }: Write): Buffer {
  const end = position + bytes.length;
  const result = end > file.length ? Buffer.concat([file, Buffer.alloc(end - file.length)]) : file;
  result.set(bytes, position);
  return result;
}
