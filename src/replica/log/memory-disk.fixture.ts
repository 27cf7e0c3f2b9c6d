/** A disk in memory that loses, tears and refuses what a real one may: for tests of the log. */

import type { Disk, DiskFile } from "../ports.ts";

interface MemoryFile {
  bytes: Buffer;
  /** What a power cut leaves. */
  durable: Buffer;
}

export class MemoryDisk implements Disk {
  files = new Map<string, MemoryFile>();
  #durableNames = new Map<string, MemoryFile>();
  flushes = 0;
  full = false;
  /** As on a full file system that copies on write: not even what is there can be written over. */
  refusing = false;
  failFlushes = false;
  /** Flushes end when the test says so. */
  held: (() => void)[] | undefined;

  list(): string[] {
    return [...this.files.keys()];
  }

  open(name: string): DiskFile {
    const file = this.files.get(name) ?? { bytes: Buffer.alloc(0), durable: Buffer.alloc(0) };
    this.files.set(name, file);
    return {
      get sizeBytes() {
        return file.bytes.length;
      },
      read: (position, length) => Uint8Array.from(file.bytes.subarray(position, position + length)),
      write: (position, bytes) => {
        const grows = position + bytes.length > file.bytes.length;
        if ((grows && this.full) || this.refusing)
          throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
        if (grows)
          file.bytes = Buffer.concat([file.bytes, Buffer.alloc(position + bytes.length - file.bytes.length)]);
        file.bytes.set(bytes, position);
      },
      flush: (done) => {
        this.flushes++;
        const image = Buffer.from(file.bytes);
        const finish = () => {
          if (!this.failFlushes) file.durable = image;
          done(this.failFlushes ? new Error("input/output error") : undefined);
        };
        if (this.held === undefined) queueMicrotask(finish);
        else this.held.push(finish);
      },
      close: () => undefined,
    };
  }

  rename(from: string, to: string): void {
    const file = this.files.get(from);
    if (file === undefined) throw new Error(`there is no ${from}`);
    this.files.delete(from);
    this.files.set(to, file);
  }

  remove(name: string): void {
    this.files.delete(name);
  }

  flushNames(): void {
    this.#durableNames = new Map(this.files);
  }

  /** Leaves what was flushed, under the names that were; of the rest nothing, or all that was written to files. */
  powerCut(rest: "lost" | "written back" = "lost"): void {
    if (rest === "written back")
      for (const file of this.files.values()) file.durable = Buffer.from(file.bytes);
    this.files = new Map(this.#durableNames);
    for (const file of this.files.values()) file.bytes = Buffer.from(file.durable);
  }
}
