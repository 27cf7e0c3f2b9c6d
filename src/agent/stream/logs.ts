/** Reads a container's log: from the end, since a time, following while the container runs. */
import { watch } from "node:fs";
import { open, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { renderLogLine } from "./log-lines.ts";
import type { LogSelection } from "./log-lines.ts";

export interface LogRequest extends LogSelection {
  path: string;
  follow: boolean;
  tailLines: number | undefined;
  limitBytes: number | undefined;
  /** The container may still write. */
  running(): boolean;
  signal: AbortSignal;
}

const blockBytes = 64 * 1024;
const pollMs = 1_000;

/** Chunks of text for the client. Ends with the log, or with the container when following. */
export async function* readLog(request: LogRequest): AsyncGenerator<Buffer> {
  let left = request.limitBytes ?? Infinity;
  for await (const raw of rawLines(request)) {
    const text = renderLogLine(raw, request);
    if (text === undefined) continue;
    const bytes = Buffer.from(text);
    yield bytes.length > left ? bytes.subarray(0, left) : bytes;
    left -= bytes.length;
    if (left <= 0) return;
  }
}

async function* rawLines(request: LogRequest): AsyncGenerator<string> {
  let file = await open(request.path, "r");
  const changes = request.follow ? watchFor(request.path, request.signal) : undefined;
  try {
    let position = request.tailLines === undefined ? 0 : await tailStart(file, request.tailLines);
    const buffer = Buffer.alloc(blockBytes);
    let rest: Buffer = Buffer.alloc(0);
    while (!request.signal.aborted) {
      // Asked before reading: what was written before the end is then read.
      const running = request.running();
      const { bytesRead } = await file.read(buffer, 0, blockBytes, position);
      position += bytesRead;
      const data = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
      let start = 0;
      for (let end = data.indexOf(10); end !== -1; end = data.indexOf(10, start)) {
        yield data.toString("utf8", start, end);
        start = end + 1;
      }
      rest = Buffer.from(data.subarray(start));
      if (bytesRead > 0) continue;
      if (!changes) return;
      const rotated = await hasRotated(file, request.path);
      if (rotated) {
        await file.close();
        file = await open(request.path, "r");
        position = 0;
      } else if (running) await changes.next();
      else return;
    }
  } finally {
    changes?.close();
    await file.close();
  }
}

async function hasRotated(file: FileHandle, path: string): Promise<boolean> {
  const now = await stat(path).catch(() => undefined);
  return now !== undefined && now.ino !== (await file.stat()).ino;
}

/** The position at which the last `count` lines begin. */
async function tailStart(file: FileHandle, count: number): Promise<number> {
  const { size } = await file.stat();
  if (count === 0) return size;
  const buffer = Buffer.alloc(blockBytes);
  let missing = count;
  let end = size;
  // The newline that ends the last line doesn't begin another.
  let skipLast = true;
  while (end > 0) {
    const start = Math.max(0, end - blockBytes);
    await file.read(buffer, 0, end - start, start);
    for (let index = end - start - 1; index >= 0; index--) {
      if (buffer[index] !== 10) {
        skipLast = false;
        continue;
      }
      if (skipLast) {
        skipLast = false;
        continue;
      }
      missing--;
      if (missing === 0) return start + index + 1;
    }
    end = start;
  }
  return 0;
}

/** Resolves `next` at a change of the file, and at the latest after a second. */
function watchFor(path: string, signal: AbortSignal): { next(): Promise<void>; close(): void } {
  let wake: () => void = () => undefined;
  let changed = false;
  const watcher = watch(dirname(path), () => {
    changed = true;
    wake();
  });
  watcher.on("error", () => undefined);
  const onAbort = () => wake();
  signal.addEventListener("abort", onAbort);
  return {
    async next() {
      if (!changed && !signal.aborted)
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, pollMs);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      changed = false;
    },
    close() {
      signal.removeEventListener("abort", onAbort);
      watcher.close();
    },
  };
}
