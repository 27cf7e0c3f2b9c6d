/** The real disk: flat files of one directory, flushed in Node's thread pool so that the loop goes on meanwhile. */

import * as fs from "node:fs";
import { join } from "node:path";
import type { Disk, DiskFile } from "./ports.ts";

export class FileDisk implements Disk {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  list(): string[] {
    return fs.readdirSync(this.#directory);
  }

  open(name: string): DiskFile {
    const flags = fs.constants.O_RDWR | fs.constants.O_CREAT;
    return new OpenFile(fs.openSync(join(this.#directory, name), flags, 0o600));
  }

  rename(from: string, to: string): void {
    fs.renameSync(join(this.#directory, from), join(this.#directory, to));
  }

  remove(name: string): void {
    fs.rmSync(join(this.#directory, name), { force: true });
  }

  flushNames(): void {
    const descriptor = fs.openSync(this.#directory, "r");
    fs.fsyncSync(descriptor);
    fs.closeSync(descriptor);
  }
}

class OpenFile implements DiskFile {
  readonly #descriptor: number;
  #sizeBytes: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
    this.#sizeBytes = fs.fstatSync(descriptor).size;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  read(position: number, length: number): Uint8Array {
    const bytes = Buffer.alloc(length);
    let read = 0;
    while (read < length) {
      const count = fs.readSync(this.#descriptor, bytes, read, length - read, position + read);
      if (count === 0) break;
      read += count;
    }
    return bytes.subarray(0, read);
  }

  write(position: number, bytes: Uint8Array): void {
    let written = 0;
    while (written < bytes.length) {
      written += fs.writeSync(this.#descriptor, bytes, written, bytes.length - written, position + written);
    }
    this.#sizeBytes = Math.max(this.#sizeBytes, position + bytes.length);
  }

  flush(done: (error: Error | undefined) => void): void {
    fs.fdatasync(this.#descriptor, (error) => done(error ?? undefined));
  }

  close(): void {
    fs.closeSync(this.#descriptor);
  }
}
