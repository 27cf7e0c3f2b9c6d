/**
 * Files that were damaged or lost while a node was down: what a lone node says, and how a member of three comes
 * back. Each case changes the directory of a stopped replica.
 */

import assert from "node:assert/strict";
import {
  closeSync,
  cpSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Transaction } from "#base/backend.ts";
import { FatalError } from "#base/errors.ts";
import { TestCluster, until } from "../cluster.fixture.ts";

interface Case {
  name: string;
  damage(dataDir: string): void;
  /** What a lone node answers; undefined: it starts, and has everything. */
  alone: { kind: FatalError["kind"]; message: RegExp } | undefined;
  /** A member of three has everything again, with a new id or its old one; or it says the same as a lone node. */
  ofThree: "new id" | "same id" | "refuses";
}

const restore = /bring .* back from a backup|bring the node back from a backup/;
const corrupt = { kind: "corrupt", message: restore } as const;

const cases: Case[] = [
  {
    name: "rubbish behind the end of the log, as a torn write leaves",
    damage: (dataDir) => flip(newestSegment(dataDir), (bytes) => endOf(bytes) + 64),
    alone: undefined,
    ofThree: "same id",
  },
  {
    name: "the last record of the log, which was applied",
    damage: (dataDir) => flip(newestSegment(dataDir), (bytes) => endOf(bytes) - 4),
    alone: corrupt,
    ofThree: "new id",
  },
  {
    name: "the middle of the log",
    damage: (dataDir) => flip(newestSegment(dataDir), (bytes) => Math.floor(endOf(bytes) / 2)),
    alone: corrupt,
    ofThree: "new id",
  },
  {
    name: "the log is cut to nothing",
    damage: (dataDir) => truncateSync(newestSegment(dataDir), 0),
    alone: corrupt,
    ofThree: "new id",
  },
  {
    name: "the log, and with it term and vote, is missing",
    damage: (dataDir) => rmSync(join(dataDir, "log"), { recursive: true }),
    alone: corrupt,
    ofThree: "new id",
  },
  {
    name: "state.db is missing",
    damage: (dataDir) => {
      for (const name of ["state.db", "state.db-wal", "state.db-shm"])
        rmSync(join(dataDir, name), { force: true });
    },
    alone: corrupt,
    ofThree: "new id",
  },
  {
    name: "state.db is cut in half",
    damage: (dataDir) => truncateSync(join(dataDir, "state.db"), 8192),
    alone: corrupt,
    ofThree: "new id",
  },
  {
    name: "state.db is something else",
    damage: (dataDir) => flip(join(dataDir, "state.db"), () => 2),
    alone: corrupt,
    ofThree: "new id",
  },
  {
    name: "replica.json is missing",
    damage: (dataDir) => rmSync(join(dataDir, "replica.json")),
    alone: { kind: "badDataDir", message: restore },
    ofThree: "refuses",
  },
  {
    name: "replica.json is cut",
    damage: (dataDir) => truncateSync(join(dataDir, "replica.json"), 20),
    alone: { kind: "badDataDir", message: restore },
    ofThree: "refuses",
  },
];

const keys = 20;
const put = (key: string): Transaction => ({
  compare: [],
  success: [{ type: "put", key, value: new Uint8Array(500).fill(7) }],
  failure: [],
});

function newestSegment(dataDir: string): string {
  const names = readdirSync(join(dataDir, "log")).filter((name) => name.startsWith("log-"));
  return join(dataDir, "log", String(names.toSorted().at(-1)));
}

/** The rest of a segment is zeros. */
function endOf(bytes: Buffer): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return end;
}

function flip(path: string, where: (bytes: Buffer) => number): void {
  const bytes = readFileSync(path);
  const at = where(bytes);
  const file = openSync(path, "r+");
  writeSync(file, Buffer.from([(bytes[at] ?? 0) ^ 0x5a]), 0, 1, at);
  closeSync(file);
}

async function assertRefused(start: Promise<unknown>, expected: Case["alone"]): Promise<void> {
  await assert.rejects(start, (error) => {
    assert.ok(error instanceof FatalError, String(error));
    assert.equal(error.kind, expected?.kind, error.message);
    assert.match(error.message, expected?.message ?? /never/);
    return true;
  });
}

test("a log that is lost is missed, though the node was killed soon after its start", async () => {
  const cluster = await TestCluster.start(1);
  try {
    await cluster.handle(0).backend.transact(put("/k"));
    await cluster.handle(0).kill();
    rmSync(join(cluster.dataDir(0), "log"), { recursive: true });
    await assertRefused(cluster.restart(0), { kind: "corrupt", message: /the log ends at 0, but/ });
  } finally {
    await cluster.close();
  }
});

describe("a lone node", () => {
  let cluster: TestCluster;
  const copy = () => `${cluster.dataDir(0)}.copy`;
  before(async () => {
    cluster = await TestCluster.start(1);
    for (let at = 0; at < keys; at++) await cluster.handle(0).backend.transact(put(`/k${at}`));
    await cluster.handle(0).stop();
    cpSync(cluster.dataDir(0), copy(), { recursive: true });
  });
  after(() => cluster.close());

  for (const { name, damage, alone } of cases) {
    test(name, async () => {
      rmSync(cluster.dataDir(0), { recursive: true });
      cpSync(copy(), cluster.dataDir(0), { recursive: true });
      damage(cluster.dataDir(0));
      if (alone !== undefined) {
        await assertRefused(cluster.restart(0), alone);
        return;
      }
      const handle = await cluster.restart(0);
      await until(async () => (await handle.status()).ready, "the node");
      const { count } = await handle.backend.range({ key: "/k", end: "/l", countOnly: true });
      assert.equal(count, keys);
      await handle.stop();
    });
  }
});

describe("a member of three", () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await TestCluster.start(3);
    for (let at = 0; at < keys; at++) await cluster.handle(0).backend.transact(put(`/k${at}`));
  });
  after(() => cluster.close());

  for (const { name, damage, alone, ofThree } of cases) {
    test(name, async () => {
      const victim = ((await cluster.leader()) + 1) % 3;
      const { memberId: old } = cluster.handle(victim);
      const others = [0, 1, 2].filter((at) => at !== victim);
      // The end of its log has entries, and they are applied.
      for (let at = 0; at < 6; at++)
        await cluster.handle(victim).backend.transact(put(`/last/${at}/${name}`));
      // Each node has noted who the members are.
      const known = () =>
        (
          JSON.parse(readFileSync(join(cluster.dataDir(victim), "replica.json"), "utf8")) as {
            peers: { id: string }[];
          }
        ).peers
          .map(({ id }) => id)
          .toSorted();
      const present = cluster.handles.map(({ memberId }) => memberId).toSorted();
      await until(async () => known().join() === present.join(), "the note of the members");
      await cluster.handle(victim).stop();
      const aside = `${cluster.dataDir(victim)}.copy`;
      cpSync(cluster.dataDir(victim), aside, { recursive: true });
      damage(cluster.dataDir(victim));
      if (ofThree === "refuses") {
        await assertRefused(cluster.restart(victim), alone);
        rmSync(cluster.dataDir(victim), { recursive: true });
        cpSync(aside, cluster.dataDir(victim), { recursive: true });
      }
      const handle = await cluster.restart(victim);
      assert.equal(handle.memberId === old, ofThree !== "new id");
      await cluster.until(
        ({ members, failuresToQuorumLoss }) =>
          failuresToQuorumLoss === 1 &&
          members.length === 3 &&
          members.some(({ id }) => id === handle.memberId) &&
          members.every(({ role, online }) => role === "voter" && online),
        others,
      );
      await until(async () => (await handle.status()).ready, "the node");
      const { count } = await handle.backend.range({
        key: "/k",
        end: "/l",
        countOnly: true,
        serializable: true,
      });
      assert.equal(count, keys);
      rmSync(aside, { recursive: true });
    });
  }
});
