import assert from "node:assert/strict";
import { test } from "node:test";
import type { Clock } from "#base/ports.ts";
import type { Message } from "#raft/types.ts";
import { RaftOutbox } from "./raft-outbox.ts";

const news = (to: number, commit: number): Message => ({ type: "append", from: 1, to, commit });
const append = (to: number, commit: number): Message => ({
  ...news(to, commit),
  entries: [{ index: commit + 1, term: 1, type: "normal", data: new Uint8Array(0) }],
});

/** An outbox, what it has sent as "peer: commits", and a clock that is moved by hand. */
function world() {
  const sent: string[] = [];
  const timers = new Set<{ atMs: number; callback(): void }>();
  let now = 0;
  const clock: Clock = {
    nowMs: () => now,
    monotonicMs: () => now,
    setTimer(delayMs, callback) {
      const timer = { atMs: now + delayMs, callback };
      timers.add(timer);
      return { cancel: () => void timers.delete(timer) };
    },
  };
  const outbox = new RaftOutbox(clock, {
    send: (to, messages) => sent.push(`${to}: ${messages.map((each) => each.commit).join(" ")}`) > 0,
    onNotSent: () => assert.fail("everything is taken"),
    onLeft: () => undefined,
  });
  return {
    outbox,
    sent,
    pass(ms: number) {
      now += ms;
      for (const timer of timers) {
        if (timer.atMs > now) continue;
        timers.delete(timer);
        timer.callback();
      }
    },
  };
}

test("news of commits wait for the next append, and go before it in its frame", () => {
  const { outbox, sent, pass } = world();
  outbox.send([news(2, 7), news(3, 7)]);
  pass(0);
  assert.deepEqual(sent, []);
  outbox.send([append(2, 7)]);
  assert.deepEqual(sent, ["2: 7 7"]);
  pass(10);
  assert.deepEqual(sent, ["2: 7 7", "3: 7"]);
});

test("a peer whose clients wait hears at the end of the turn what they wait for", () => {
  const { outbox, sent, pass } = world();
  outbox.await(2, 8);
  outbox.send([news(2, 7), news(3, 7)]);
  pass(0);
  assert.deepEqual(sent, ["2: 7", "3: 7"]);
  outbox.send([news(2, 8)]);
  pass(0);
  assert.deepEqual(sent, ["2: 7", "3: 7", "2: 8"]);
  outbox.send([news(2, 9)]);
  pass(0);
  assert.equal(sent.length, 3, "nobody there waits any more");
});

test("news that may wait leave with those that may not", () => {
  const { outbox, sent, pass } = world();
  outbox.send([news(3, 7)]);
  outbox.await(2, 7);
  outbox.send([news(2, 7)]);
  pass(0);
  assert.deepEqual(sent, ["3: 7", "2: 7"]);
});

test("news of a change of the members wait for nothing", () => {
  const { outbox, sent, pass } = world();
  outbox.send([news(2, 7), news(3, 7)]);
  outbox.hurry();
  pass(0);
  assert.deepEqual(sent, ["2: 7", "3: 7"]);
});

test("nothing leaves after the end", () => {
  const { outbox, sent, pass } = world();
  outbox.send([news(2, 7)]);
  outbox.close();
  pass(10);
  assert.deepEqual(sent, []);
});
