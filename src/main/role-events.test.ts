/** Decisions on roles become Events once, written by whoever leads. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "#base/errors.ts";
import type { Client } from "#client/types.ts";
import type { ReplicaStatus, RoleDecision } from "#replica/types.ts";
import type { eventsOf } from "./role-events.ts";
import { startRoleEvents } from "./role-events.ts";

const decision: RoleDecision = {
  timeMs: 1_000_000,
  term: 7,
  reason: "VoterReplaced",
  subjects: ["n4", "n2"],
  text: "n4 became a voter in place of n2, which has not answered for 10 s",
};
const logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** Keeps Events as the API server does: a name once. */
class Events {
  readonly stored = new Map<string, { reason: string; involvedObject: { name: string } }>();
  refusals = 0;
  readonly client = {
    create: async (_: unknown, event: ReturnType<typeof eventsOf>[number]) => {
      if (this.refusals-- > 0) throw new StatusError("ServiceUnavailable", "no leader");
      if (this.stored.has(event.metadata.name)) throw new StatusError("AlreadyExists", "it exists");
      this.stored.set(event.metadata.name, event);
      return event;
    },
  } as unknown as Client;
}

function node(events: Events) {
  let tell: (status: ReplicaStatus) => void = () => undefined;
  const running = startRoleEvents({
    onStatus: (callback) => {
      tell = callback;
      return () => undefined;
    },
    client: events.client,
    nowMs: () => 1_005_000,
    logger,
  });
  const hears = async (leaderId: string, decisions: RoleDecision[]) => {
    tell({ memberId: "a", leaderId, decisions } as unknown as ReplicaStatus);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { hears, close: () => running.close() };
}

test("the leader writes one Event for each node that a decision is about", async () => {
  const events = new Events();
  const { hears, close } = node(events);
  await hears("b", [decision]);
  assert.equal(events.stored.size, 0, "another node leads");
  await hears("a", [decision]);
  assert.deepEqual(
    [...events.stored.values()].map((event) => [event.involvedObject.name, event.reason]),
    [
      ["n4", "VoterReplaced"],
      ["n2", "VoterReplaced"],
    ],
  );
  close();
});

test("the next leader repeats nothing, and writes what the last one could not", async () => {
  const events = new Events();
  const first = node(events);
  await first.hears("a", [decision]);
  const second = node(events);
  const later = { ...decision, timeMs: 1_001_000, text: "another", subjects: ["n3"] };
  await second.hears("a", [decision, later]);
  assert.equal(events.stored.size, 3);
  first.close();
  second.close();
});

test("what is no news any more is not written", async () => {
  const events = new Events();
  const { hears, close } = node(events);
  await hears("a", [{ ...decision, timeMs: 1_005_000 - 4_000_000 }]);
  assert.equal(events.stored.size, 0);
  close();
});

test("what was refused is tried again", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const events = new Events();
  events.refusals = 1;
  const { hears, close } = node(events);
  await hears("a", [decision]);
  assert.equal(events.stored.size, 0);
  t.mock.timers.tick(5_000);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(events.stored.size, 2);
  close();
});
