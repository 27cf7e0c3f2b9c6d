/**
 * Loaded into a lab node's programs before their own code (NODE_OPTIONS --require, which concerns every thread): their wall clock is the
 * machine's plus what a file says, in milliseconds. The machine's clock can't be set for one host alone. It
 * concerns JavaScript's `Date` in all threads; certificates are still checked by the machine's clock, and
 * timers and `performance` are monotonic on any machine.
 */
import { readFileSync } from "node:fs";

const file = process.env["TRIVET_LAB_CLOCK"];
if (file !== undefined) moveClock(file);

function moveClock(path: string): void {
  const Original = Date;
  const now = Original.now.bind(Original);
  const readEveryMs = 100;
  let readAtMs = -Infinity;
  let offsetMs = 0;

  const movedNow = (): number => {
    const elapsedMs = performance.now();
    if (elapsedMs - readAtMs >= readEveryMs) {
      readAtMs = elapsedMs;
      offsetMs = readOffset(path);
    }
    return now() + offsetMs;
  };
  globalThis.Date = new Proxy(Original, {
    construct: (target, args: unknown[], newTarget) =>
      Reflect.construct(target, args.length === 0 ? [movedNow()] : args, newTarget) as object,
    apply: () => new Original(movedNow()).toString(),
    get: (target, name) => (name === "now" ? movedNow : (Reflect.get(target, name) as unknown)),
  });
}

/** No file, no shift. */
function readOffset(path: string): number {
  try {
    const offsetMs = Number(readFileSync(path, "utf8"));
    return Number.isFinite(offsetMs) ? offsetMs : 0;
  } catch {
    return 0;
  }
}
