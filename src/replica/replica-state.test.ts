/** The state beside the log: what a crash between the two may leave. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SnapshotReader } from "#store/snapshot.ts";
import { supportedFormats } from "#store/format.ts";
import type { StateDirectory } from "#store/state-directory.ts";
import { MemoryStateDirectory } from "#store/state-directory.ts";
import { testLogger } from "./cluster.fixture.ts";
import { ReplicaLog } from "./log/log.ts";
import { MemoryDisk } from "./log/memory-disk.fixture.ts";
import { ReplicaState } from "./replica-state.ts";

const events = {
  onReleased() {},
  retryLater: () => assert.fail(),
  onDamage: assert.ifError,
  onFatal: assert.ifError,
};

test("a crash at the moment when a snapshot has become the state leaves a whole replica", () => {
  const source = new MemoryStateDirectory().open();
  source.batch(() => {
    for (let index = 1; index <= 5; index++) source.apply(index, 1, undefined);
  });
  const directory = new MemoryStateDirectory();
  const received = directory.receive();
  received.add(new SnapshotReader(source).chunk(0, 1 << 20).bytes);
  const dying: StateDirectory = {
    open: () => directory.open(),
    receive: () => directory.receive(),
    adopt(writer) {
      directory.adopt(writer);
      throw new Error("killed");
    },
  };
  const state = new ReplicaState(dying, supportedFormats, events);
  received.setNote("received", String(received.position.index));
  assert.throws(() => state.adopt(received), /killed/);
  directory.loseUnflushed();
  const log = new ReplicaLog({
    disk: new MemoryDisk(),
    logger: testLogger("log"),
    onFatal: assert.ifError,
    onFull: () => assert.fail(),
    retryLater: () => assert.fail(),
  });
  new ReplicaState(directory, supportedFormats, events).reconcile(log);
  assert.equal(log.lastIndex, 5);
});
