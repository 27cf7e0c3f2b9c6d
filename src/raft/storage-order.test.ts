/**
 * The rules of asynchronous storage: what may leave at once, what waits for the disk, and which reports of
 * the two storage tasks still count when they come late.
 */

import assert from "node:assert/strict";
import test from "node:test";
import { RawNode } from "./raw-node.ts";
import { emptyConfState, MemoryStorage } from "./testing/memory-storage.ts";
import { testConfig } from "./testing/test-config.ts";
import { localAppendThread, localApplyThread } from "./types.ts";
import type { Entry, Message, Ready } from "./types.ts";

const entry = (index: number, term: number): Entry => ({
  index,
  term,
  type: "normal",
  data: Buffer.from(`${index}@${term}`),
});

function voter(voters: number[] = [1, 2, 3], storage = new MemoryStorage()): RawNode {
  storage.confState = { ...emptyConfState, voters };
  return new RawNode(testConfig(1, storage, { asyncStorageWrites: true }));
}

function append(node: RawNode, term: number, entries: Entry[], commit = 0, from = 2): void {
  const index = (entries[0]?.index ?? 1) - 1;
  const logTerm = node.raft.log.termIfKnown(index) ?? 0;
  node.step({ type: "append", to: 1, from, term, index, logTerm, entries, commit });
}

function work(ready: Ready, thread: number): Message {
  const message = ready.messages.find(({ to }) => to === thread);
  assert.ok(message !== undefined, "there is work for the storage task");
  return message;
}

/** The disk does its work, and its reports are still under way. */
function persist(node: RawNode, { snapshot, entries = [] }: Message): void {
  const { storage } = node.raft.config;
  assert.ok(storage instanceof MemoryStorage);
  if (snapshot !== undefined) storage.restore(snapshot);
  storage.append(entries);
}

function report(node: RawNode, { responses = [] }: Message): void {
  for (const response of responses) if (response.to === 1) node.step(response);
}

/** Written and reported: everything up to `entries` is durable. */
function persistNext(node: RawNode): void {
  const write = work(node.ready(), localAppendThread);
  persist(node, write);
  report(node, write);
}

test("a follower's acknowledgement rides on the write, and nothing of it leaves before", () => {
  const node = voter();
  append(node, 1, [entry(1, 1)]);
  const ready = node.ready();
  assert.deepEqual(
    ready.messages.map(({ to }) => to),
    [localAppendThread],
  );
  const write = work(ready, localAppendThread);
  assert.deepEqual(
    write.responses?.map(({ type, to }) => [type, to]),
    [
      ["appendResponse", 2],
      // The report to the member itself comes last.
      ["storageAppendResponse", 1],
    ],
  );
  assert.deepEqual([write.term, write.vote, write.commit], [1, 0, 0], "with the hard state");
});

test("a leader's appends leave while its own write is under way, and its own acknowledgement rides on that", () => {
  const node = voter();
  node.campaign();
  for (const response of work(node.ready(), localAppendThread).responses ?? []) node.step(response);
  node.step({ type: "voteResponse", to: 1, from: 2, term: 1 });
  const ready = node.ready();
  assert.deepEqual(
    ready.messages.map(({ type, to }) => [type, to]),
    [
      ["append", 2],
      ["append", 3],
      ["storageAppend", localAppendThread],
    ],
  );
  const own = work(ready, localAppendThread).responses?.find(({ type }) => type === "appendResponse");
  assert.deepEqual([own?.to, own?.index], [1, 1]);
});

test("entries are handed out to be written once, and the newest report covers those before it", () => {
  const node = voter();
  append(node, 1, [entry(1, 1)]);
  const first = work(node.ready(), localAppendThread);
  append(node, 1, [entry(2, 1)]);
  const second = work(node.ready(), localAppendThread);
  assert.deepEqual(
    [first, second].map(({ entries = [] }) => entries.map(({ index }) => index)),
    [[1], [2]],
  );
  persist(node, first);
  persist(node, second);
  report(node, second);
  assert.equal(node.raft.log.unstable.offset, 3);
  report(node, first);
  assert.equal(node.raft.log.unstable.offset, 3, "the older report changes nothing");
});

test("a report from before a change of term is void, even if its entries are the same again", () => {
  const node = voter();
  // 1@1 is being written; a leader of term 2 overwrites it; one of term 3 has the first again.
  append(node, 1, [entry(1, 1)]);
  const first = work(node.ready(), localAppendThread);
  append(node, 2, [entry(1, 2)], 0, 3);
  const second = work(node.ready(), localAppendThread);
  append(node, 3, [entry(1, 1)], 0, 2);
  const third = work(node.ready(), localAppendThread);
  for (const write of [first, second, third]) persist(node, write);
  report(node, first);
  report(node, second);
  assert.deepEqual(node.raft.log.unstable.entries, [entry(1, 1)], "the third write is under way");
  report(node, third);
  assert.deepEqual(node.raft.log.unstable.entries, []);
});

test("after a change of term the next report covers what the void one was about", () => {
  const node = voter();
  append(node, 1, [entry(1, 1)]);
  const first = work(node.ready(), localAppendThread);
  node.step({ type: "heartbeat", to: 1, from: 3, term: 2 });
  // No new entries: but the term is written, and the report of that says that entry 1 is there.
  const second = work(node.ready(), localAppendThread);
  assert.deepEqual(second.entries, []);
  report(node, first);
  assert.equal(node.raft.log.unstable.entries.length, 1);
  persist(node, first);
  report(node, second);
  assert.equal(node.raft.log.unstable.entries.length, 0);
});

test("an acknowledgement that was made in an older term is ignored by whoever leads now", () => {
  const node = voter();
  append(node, 1, [entry(1, 1), entry(2, 1)]);
  const write = work(node.ready(), localAppendThread);
  node.campaign();
  for (const response of work(node.ready(), localAppendThread).responses ?? []) node.step(response);
  node.step({ type: "voteResponse", to: 1, from: 3, term: 2 });
  assert.equal(node.raft.role, "leader");
  node.step({ type: "appendResponse", to: 1, from: 2, term: 1, index: 2 });
  assert.equal(node.status().progress.get(2)?.match, 0);
  report(node, write);
  assert.equal(node.raft.log.committed, 0);
});

test("what is committed but not durable here is not applied", () => {
  const node = voter();
  append(node, 1, [entry(1, 1), entry(2, 1)], 2);
  const ready = node.ready();
  assert.ok(!ready.messages.some(({ to }) => to === localApplyThread));
  persist(node, work(ready, localAppendThread));
  report(node, work(ready, localAppendThread));
  const apply = work(node.ready(), localApplyThread);
  assert.deepEqual(
    apply.entries?.map(({ index }) => index),
    [1, 2],
  );
  assert.equal(node.raft.log.applied, 0);
  report(node, apply);
  assert.equal(node.raft.log.applied, 2);
});

test("entries to apply are handed out once, in order, while the first are still being applied", () => {
  const node = voter();
  append(node, 1, [entry(1, 1), entry(2, 1)], 1);
  persistNext(node);
  const first = work(node.ready(), localApplyThread);
  node.step({ type: "heartbeat", to: 1, from: 2, term: 1, commit: 2 });
  const second = work(node.ready(), localApplyThread);
  assert.deepEqual(
    [first, second].map(({ entries = [] }) => entries.map(({ index }) => index)),
    [[1], [2]],
  );
  report(node, first);
  report(node, second);
  assert.equal(node.raft.log.applied, 2);
});

test("a report of the apply task counts in whatever term it comes", () => {
  const node = voter();
  append(node, 1, [entry(1, 1)], 1);
  persistNext(node);
  const apply = work(node.ready(), localApplyThread);
  node.step({ type: "heartbeat", to: 1, from: 3, term: 7 });
  report(node, apply);
  assert.equal(node.raft.log.applied, 1);
});

test("a snapshot is written before entries are applied after it, and its report counts in a newer term too", () => {
  const node = voter();
  const confState = { ...emptyConfState, voters: [1, 2, 3] };
  const snapshot = { metadata: { index: 5, term: 1, confState }, token: "t" };
  node.step({ type: "snapshot", to: 1, from: 2, term: 1, snapshot });
  const write = work(node.ready(), localAppendThread);
  assert.equal(write.snapshot, snapshot);
  assert.equal(write.responses?.find(({ to }) => to === 2)?.index, 5, "acknowledged when it is durable");
  persist(node, write);
  append(node, 1, [entry(6, 1)], 6);
  persistNext(node);
  node.step({ type: "heartbeat", to: 1, from: 3, term: 2 });
  assert.ok(!node.ready().messages.some(({ to }) => to === localApplyThread), "the state is not there yet");
  node.campaign();
  assert.equal(node.raft.role, "follower", "nor does it campaign meanwhile");
  report(node, write);
  assert.equal(node.raft.log.applied, 5);
  assert.deepEqual(
    work(node.ready(), localApplyThread).entries?.map(({ index }) => index),
    [6],
  );
});
