/**
 * The real disk: flat files of one directory. Flushes run in Node's thread pool so that the loop goes on
 * meanwhile; but where a flush takes less time than the hand-over to another thread and back, a small one is
 * made at once, at the end of the turn, when what the turn wanted to send is already on its way.
 */

import * as fs from "node:fs";
import { dirname, join } from "node:path";
import type { Disk, DiskFile } from "../ports.ts";

export class FileDisk implements Disk {
  readonly #directory: string;
  readonly #isBusy: () => boolean;

  /** `isBusy`: something else makes the disk work, and flushes will take their time. */
  constructor(directory: string, isBusy: () => boolean = () => false) {
    this.#directory = directory;
    this.#isBusy = isBusy;
    if (fs.existsSync(directory)) return;
    fs.mkdirSync(directory, { mode: 0o700 });
    // What is flushed into it is lost all the same while its own name is not on the disk.
    flushDirectory(dirname(directory));
  }

  list(): string[] {
    return fs.readdirSync(this.#directory);
  }

  open(name: string): DiskFile {
    const flags = fs.constants.O_RDWR | fs.constants.O_CREAT;
    return new OpenFile(fs.openSync(join(this.#directory, name), flags, 0o600), this.#isBusy);
  }

  rename(from: string, to: string): void {
    fs.renameSync(join(this.#directory, from), join(this.#directory, to));
  }

  remove(name: string): void {
    fs.rmSync(join(this.#directory, name), { force: true });
  }

  flushNames(): void {
    flushDirectory(this.#directory);
  }
}

function flushDirectory(directory: string): void {
  const descriptor = fs.openSync(directory, "r");
  fs.fsyncSync(descriptor);
  fs.closeSync(descriptor);
}

/** A lone write may hold up the loop for this long as a rule. */
const quickFlushMs = 1;
/** More than that was written: somebody else may have something to do meanwhile. */
const quickFlushBytes = 16 << 10;
/** By how much one flush changes what is taken for the usual. */
const stepMs = 0.05;

class OpenFile implements DiskFile {
  readonly #descriptor: number;
  readonly #isBusy: () => boolean;
  #sizeBytes: number;
  #unflushedBytes = 0;
  /** As many flushes take longer as take less, of late. A mean would be that of the few slow ones. */
  #usualMs = quickFlushMs;

  constructor(descriptor: number, isBusy: () => boolean) {
    this.#descriptor = descriptor;
    this.#isBusy = isBusy;
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
    this.#unflushedBytes += bytes.length;
  }

  flush(done: (error: Error | undefined) => void): void {
    const quick = this.#usualMs < quickFlushMs && this.#unflushedBytes <= quickFlushBytes && !this.#isBusy();
    this.#unflushedBytes = 0;
    if (quick) process.nextTick(() => this.#flushNow(done));
    else {
      const startedMs = performance.now();
      fs.fdatasync(this.#descriptor, (error) => {
        this.#took(performance.now() - startedMs);
        done(error ?? undefined);
      });
    }
  }

  #flushNow(done: (error: Error | undefined) => void): void {
    const startedMs = performance.now();
    let failure: Error | undefined;
    try {
      fs.fdatasyncSync(this.#descriptor);
    } catch (error) {
      failure = error as Error;
    }
    this.#took(performance.now() - startedMs);
    done(failure);
  }

  #took(ms: number): void {
    this.#usualMs += ms > this.#usualMs ? stepMs : -stepMs;
  }

  close(): void {
    fs.closeSync(this.#descriptor);
  }
}
