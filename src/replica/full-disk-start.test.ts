/** A node that starts while its disk is full: after a crash nobody may be there to make room first. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { supportedFormats } from "#store/format.ts";
import { MemoryStateDirectory } from "#store/state-directory.ts";
import { ReplicaState } from "./replica-state.ts";

function openWith(error: Error): ReplicaState {
  const directory = new MemoryStateDirectory();
  const open = directory.open.bind(directory);
  directory.open = () => {
    const store = open();
    store.batch(() => store.apply(1, 2, undefined));
    store.flush = () => {
      throw error;
    };
    return store;
  };
  const events = {
    onReleased() {},
    retryLater: () => assert.fail(),
    onDamage: assert.ifError,
    onFatal: assert.ifError,
  };
  return new ReplicaState(directory, supportedFormats, events);
}

test("the state opens, and counts as not durable: the log keeps everything", () => {
  const state = openWith(Object.assign(new Error("database or disk is full"), { errcode: 13 }));
  assert.equal(state.store.position.index, 1);
  assert.equal(state.durableIndex, 0);
});

test("another failure of the disk is one", () => {
  assert.throws(() => openWith(Object.assign(new Error("disk I/O error"), { errcode: 10 })), /I\/O/);
});
