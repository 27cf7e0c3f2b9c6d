/** Files of the log that are no longer written to: each part of them is looked at, and damage anywhere is found. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { testLogger } from "../cluster.fixture.ts";
import { ReplicaLog } from "./log.ts";
import { LogScrub } from "./log-scrub.ts";
import { MemoryDisk } from "./memory-disk.fixture.ts";

const largeBytes = 700 << 10;

/** Two closed files, with small records and one that is longer than what is read at a time. */
async function made(): Promise<{ disk: MemoryDisk; log: ReplicaLog }> {
  const disk = new MemoryDisk();
  const log = new ReplicaLog({
    disk,
    logger: testLogger("log"),
    segmentBytes: 1 << 20,
    onFatal: (error) => assert.fail(error),
    onFull: () => undefined,
    retryLater: () => undefined,
  });
  const sizes = [100, 200, largeBytes, 50, largeBytes, 300, largeBytes];
  for (const [at, size] of sizes.entries()) {
    const entry = { index: at + 1, term: 1, type: "normal", data: new Uint8Array(size).fill(at) } as const;
    await new Promise<void>((done) => {
      log.write({ entries: [entry], done });
    });
  }
  return { disk, log };
}

function outcomes(disk: MemoryDisk, log: ReplicaLog): string[] {
  return log.closedSegments.map((segment) => {
    const scrub = new LogScrub(disk, segment);
    for (let steps = 0; ; steps++) {
      assert.ok(steps < 100, "it ends");
      const outcome = scrub.step();
      if (outcome !== "more") return outcome;
    }
  });
}

test("files without damage are sound, also after a restart", async () => {
  const { disk, log } = await made();
  assert.equal(log.closedSegments.length, 2);
  assert.deepEqual(outcomes(disk, log), ["sound", "sound"]);
  disk.powerCut();
  const options = { disk, logger: testLogger("log"), segmentBytes: 1 << 20, retryLater: () => undefined };
  const again = new ReplicaLog({ ...options, onFatal: () => assert.fail(), onFull: () => undefined });
  assert.deepEqual(outcomes(disk, again), ["sound", "sound"]);
});

test("a bit that flips anywhere in a closed file is found", async () => {
  const { disk, log } = await made();
  const [first, second] = log.closedSegments;
  assert.ok(first !== undefined && second !== undefined);
  const { bytes } = disk.files.get(first.name)!;
  let end = bytes.length;
  while (bytes[end - 1] === 0) end--;
  // Each byte of the heads and of the small records, and some of the long one.
  const places = [...Array.from({ length: 500 }, (_, at) => at), largeBytes >> 1, largeBytes, end - 1];
  const unnoticed: number[] = [];
  for (const place of places) {
    const before = bytes[place]!;
    bytes[place] = before ^ 0x10;
    const [outcome, other] = outcomes(disk, log);
    bytes[place] = before;
    if (outcome !== "damaged") unnoticed.push(place);
    assert.equal(other, "sound");
  }
  // What fills the first two records up to a multiple of 8 says nothing.
  assert.deepEqual(unnoticed, [70, 71, 445, 446, 447]);
});

test("the end of a closed file that is missing is found", async () => {
  const { disk, log } = await made();
  const [first] = log.closedSegments;
  disk.files.get(first!.name)!.bytes.fill(0, largeBytes);
  assert.deepEqual(outcomes(disk, log), ["damaged", "sound"]);
});
