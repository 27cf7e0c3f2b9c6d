/**
 * Every kind of frame, call and session message, cut off and changed at random: reading it gives something or throws
 * MalformedError, and a replica that is sent it goes on. What is sent here has to be listed here: a new kind that is
 * not fails.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { StatusError } from "#base/errors.ts";
import type { LeaseCall } from "#base/leases.ts";
import type { Message, MessageType } from "#raft/types.ts";
import { writeRangeRequest, writeTransaction, writeWatchRequest } from "#store/backend-records.ts";
import { ByteWriter, MalformedError } from "#store/bytes.ts";
import type { BackupRequest } from "../backup/backup-source.ts";
import { toClient, toServer } from "../session/backend-session.ts";
import type { Frame } from "./frames.ts";
import { decodeFrame, encodeFrame, writeError } from "./frames.ts";
import { ManualWorld } from "../manual-world.fixture.ts";
import { parseMemberId } from "../member-id.ts";
import { readGreeting } from "./peer-json.ts";
import { encodeProposal } from "../proposals.ts";
import { messageTypes } from "../log/raft-records.ts";
import type { AdminMethod } from "../replica-node.ts";

const none = new Uint8Array(0);
const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const id = "000000000000a001";
const member = { id, name: "n", address: "n:1", apiAddress: "", failureDomain: "", witness: false };
const put = { type: "put", key: "/k", value: Buffer.from("v"), lease: "0" } as const;
const transaction = {
  compare: [{ key: "/none", target: "version", operator: "=", number: 0 } as const],
  success: [put],
  failure: [{ type: "delete", key: "/a", end: "/b" } as const],
};
const confState = { voters: [1, 2], learners: [3], votersOutgoing: [], learnersNext: [], autoLeave: false };
const cluster = { clusterId: "c", members: [member], removed: [id], voters: 3, decisions: [] };

const adminCalls: Record<AdminMethod, unknown[]> = {
  addMember: [{ ...member, id: undefined, name: "m" }],
  updateMember: [id, { address: "n:2" }],
  removeMember: ["000000000000b001"],
  replaceMember: ["000000000000b001", { ...member, id: "000000000000c001", name: "c" }],
  transferLeadership: [id],
  setVoters: [5],
};
const leaseCalls: Record<LeaseCall["call"], LeaseCall> = {
  grant: { call: "grant", id: "9", ttlSeconds: 5 },
  revoke: { call: "revoke", id: "9" },
  renew: { call: "renew", id: "9" },
  inspect: { call: "inspect", id: "9", withKeys: true },
  list: { call: "list" },
};
const backupCalls: Record<BackupRequest["method"], BackupRequest> = {
  begin: { method: "begin", unconfirmed: true },
  chunk: { method: "chunk", token: "t", after: 0 },
};

/** Bodies of the calls that a replica answers, by method. */
const calls: Record<string, Uint8Array[]> = {
  admin: Object.entries(adminCalls).map(([method, args]) => json({ method, args })),
  backup: Object.values(backupCalls).map(json),
  lease: Object.values(leaseCalls).map(json),
  chunk: [new ByteWriter(16).text("t").integer(0).finish()],
  formats: [none],
  loseCopy: [none],
  probe: [none],
  snapshotFailed: [none],
  constructor: [none],
};

const partsToServer: Record<(typeof toServer)[number], (out: ByteWriter) => void> = {
  range: (out) => writeRangeRequest(out.integer(1), { key: "/", end: "0", limit: 3 }),
  transact: (out) => writeTransaction(out.integer(2), transaction),
  readRevision: (out) => void out.integer(3),
  compact: (out) => void out.integer(4).integer(2),
  status: (out) => void out.integer(5),
  watch: (out) => writeWatchRequest(out.integer(6), { key: "/", end: "0", fromRevision: 1 }),
  cancel: (out) => void out.integer(6),
  leadership: () => undefined,
  ping: () => undefined,
  lease: (out) => void out.integer(7).text(JSON.stringify(leaseCalls.list)),
  acknowledges: () => undefined,
  acknowledged: () => undefined,
  understandsSame: () => undefined,
};
const partsToClient: Record<(typeof toClient)[number], (out: ByteWriter) => void> = {
  result: (out) => void out.integer(1).bytes(none),
  error: (out) => void out.integer(1).bytes(errorBytes()),
  events: (out) => void out.integer(6).bytes(new ByteWriter(8).integer(0).integer(3).finish()),
  end: (out) => void out.integer(6).bytes(errorBytes()),
  leadership: (out) => void out.boolean(true).integer(5),
  pong: () => undefined,
  same: (out) => void out.integer(6),
};

function errorBytes(): Uint8Array {
  const out = new ByteWriter(64);
  writeError(out, new StatusError("Timeout", "late", { details: { retryAfterSeconds: 1 } }));
  return out.finish();
}

function sessionBodies<T extends string>(
  types: readonly T[],
  parts: Record<T, (out: ByteWriter) => void>,
): Uint8Array[] {
  return types.map((type, at) => {
    const out = new ByteWriter(256).integer(1).byte(at);
    parts[type](out);
    return out.finish();
  });
}

const entries: Message["entries"] = [
  { index: 4, term: 2, type: "normal", data: Buffer.from("data") },
  {
    index: 5,
    term: 2,
    type: "confChange",
    data: none,
    confChange: { transition: "auto", changes: [{ type: "addVoter", nodeId: 4 }], context: none },
  },
];
const withMore: Partial<Record<MessageType, Partial<Message>>> = {
  append: { entries },
  propose: { entries },
  snapshot: { snapshot: { metadata: { index: 9, term: 2, confState }, token: "t" } },
  readIndex: { context: "r" },
};
const command = { type: "transact", timeMs: 1, transaction } as const;

const frames: Record<Frame["type"], Frame[]> = {
  raft: messageTypes.map((type): Frame => {
    const message = { type, to: 1, from: 2, term: 2, index: 3, logTerm: 2, commit: 3, ...withMore[type] };
    return { type: "raft", messages: [message] };
  }),
  forward: [{ type: "forward", term: 2, floor: 1, data: encodeProposal({ life: 1, sequence: 1, command }) }],
  refused: [{ type: "refused", term: 2, sequence: 1 }],
  report: [
    {
      type: "report",
      text: JSON.stringify({
        term: 2 ** 40,
        leader: id,
        revision: 1,
        committedIndex: 1,
        failuresToQuorumLoss: 0,
        cluster,
        members: [{ id, role: "voter", online: true, lagEntries: 0 }],
        checksum: { index: 1, value: 2 },
      }),
    },
  ],
  alive: [{ type: "alive", text: "" }],
  call: Object.entries(calls).flatMap(([method, bodies]) =>
    bodies.map((body): Frame => ({ type: "call", id: 1, method, body })),
  ),
  answer: [{ type: "answer", id: 1, body: Buffer.from("body") }],
  failure: [{ type: "failure", id: 1, error: new StatusError("Timeout", "late") }],
  session: [
    ...sessionBodies(toServer, partsToServer).map((body): Frame => ({
      type: "session",
      session: 1,
      toServer: true,
      body,
    })),
    ...sessionBodies(toClient, partsToClient).map((body): Frame => ({
      type: "session",
      session: 1,
      toServer: false,
      body,
    })),
  ],
};

/** Of these bytes: cut off, or with some bytes changed. */
function changed(bytes: Uint8Array): fc.Arbitrary<Uint8Array> {
  const place = fc.integer({ min: 0, max: bytes.length - 1 });
  const cut = place.map((end) => bytes.slice(0, end));
  const edits = fc.array(fc.tuple(place, fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 });
  const edited = edits.map((all) => {
    const copy = Uint8Array.from(bytes);
    for (const [at, value] of all) copy[at] = value;
    return copy;
  });
  return fc.oneof(cut, edited, edited);
}

const encoded = Object.values(frames).flatMap((each) => each.map((frame) => encodeFrame(frame)));

test("each kind of frame is read as it was written", () => {
  for (const frame of Object.values(frames).flat()) {
    const again = encodeFrame(decodeFrame(encodeFrame(frame)));
    assert.deepEqual(Buffer.from(again), Buffer.from(encodeFrame(frame)), frame.type);
  }
});

test("a frame that was cut off or changed is read, or refused as malformed", () => {
  for (const [at, bytes] of encoded.entries()) {
    fc.assert(
      fc.property(changed(bytes), (each) => {
        try {
          decodeFrame(each);
        } catch (error) {
          assert.ok(error instanceof MalformedError, String((error as Error).stack));
        }
      }),
      { seed: at, numRuns: 300 },
    );
  }
});

test("a greeting that was cut off or changed is read, or refused as malformed", () => {
  const successor = { clusterId: "d", formerIds: ["c"], members: [member] };
  const sound = {
    version: 1,
    clusterId: "c",
    id: 1,
    channel: "raft",
    formats: { min: 1, max: 2 },
    successor,
  };
  readGreeting(json(sound));
  readGreeting(json({ version: 2, what: "a later release says" }));
  const parts = fc.record({
    clusterId: fc.oneof(fc.constant("c"), fc.anything()),
    id: fc.oneof(fc.constant(1), fc.anything()),
    formats: fc.oneof(fc.constant(undefined), fc.anything()),
    successor: fc.oneof(fc.constant(undefined), fc.anything()),
  });
  const anything = fc.oneof(
    parts.map((each) => json({ ...sound, ...each })),
    changed(json(sound)),
  );
  fc.assert(
    fc.property(anything, (bytes) => {
      try {
        const { id: from, formats, successor: next } = readGreeting(bytes);
        assert.ok(from > 0 && (formats === undefined || formats.max >= 0));
        assert.ok(next === undefined || next.members.every(({ address }) => address.length > 0));
      } catch (error) {
        assert.ok(error instanceof MalformedError, String((error as Error).stack));
      }
    }),
    { seed: 1, numRuns: 2000 },
  );
});

/** Three members; what the second one sends reaches the others. */
async function attacked(): Promise<{ world: ManualWorld; say: (bytes: Uint8Array) => void }> {
  const world = new ManualWorld(5);
  world.bootstrap();
  await world.until(() => world.leader() === 0, "a leader");
  await world.join();
  await world.join();
  await world.until(() => world.node(0).replica.confState.voters.length === 3, "three voters");
  await world.run(1000);
  const peer = parseMemberId(world.machines[1]!.member.id);
  const say = (bytes: Uint8Array) => {
    for (const at of [0, 2]) world.machines[at]?.events?.onFrame(peer, bytes, () => true);
  };
  return { world, say };
}

test("all that a replica answers is tried here", async () => {
  const { world } = await attacked();
  const { constructor: _, ...answered } = calls;
  assert.deepEqual(world.node(0).replica.calls.methods.toSorted(), Object.keys(answered).toSorted());
});

// Raft's own messages have a fuzz of their own (src/raft/validate.test.ts): there are lies that end who hears them.
for (const type of Object.keys(frames).filter((each) => each !== "raft")) {
  test(`frames of the kind "${type}" that were cut off or changed end nobody, and change no member`, async () => {
    const { world, say } = await attacked();
    const members = JSON.stringify(world.node(0).view.cluster().members);
    for (const frame of frames[type as Frame["type"]]) {
      // Sound calls of these kinds do change members.
      if (frame.type === "call" && frame.method === "admin") continue;
      for (const bytes of fc.sample(changed(encodeFrame(frame)), { seed: 2, numRuns: 60 })) say(bytes);
      await world.run(20);
    }
    await world.run(2000);
    assert.deepEqual(
      world.machines.map(({ fatal }) => fatal),
      [[], [], []],
    );
    assert.equal(JSON.stringify(world.node(0).view.cluster().members), members);
    await world.until(() => world.leader() >= 0, "a leader");
    await world.during(world.node(2).backend.transact(transaction));
  });
}

const garbled: Record<AdminMethod, unknown[][]> = {
  addMember: [
    [],
    [{}],
    [{ ...member, name: "" }],
    [{ ...member, id: "x" }],
    [{ ...member, address: 1 }],
    [null],
  ],
  updateMember: [[id], [id, { address: "" }], [id, { name: 7 }], [undefined, {}], ["a001", {}]],
  removeMember: [[], [1], ["0000000000000000"], ["a001"]],
  replaceMember: [[id], [id, {}], [id, { ...member, id: undefined }]],
  transferLeadership: [[7], ["x"], [{}]],
  setVoters: [[], ["3"], [-3], [3.5], [4], [1000]],
};

test("calls for changes of members with arguments that make no sense are bad requests, and change nothing", async () => {
  const { world } = await attacked();
  const leader = parseMemberId(world.machines[world.leader()]!.member.id);
  const before = JSON.stringify(world.node(0).view.cluster());
  const bodies = [
    ...Object.entries(garbled).flatMap(([method, all]) => all.map((args) => json({ method, args }))),
    ...[null, 7, {}, { method: "toString", args: [] }, { method: "addMember" }].map(json),
    Buffer.from("{"),
  ];
  for (const body of bodies) {
    const call = world.node(1).replica.calls.call(leader, "admin", body, 1000);
    await assert.rejects(world.during(call), { name: "StatusError", reason: "BadRequest" }, String(body));
  }
  assert.equal(JSON.stringify(world.node(0).view.cluster()), before);
});

test("a proposal that no replica could apply is not taken into the log", async () => {
  const { world, say } = await attacked();
  const { term } = world.node(0).replica.leadership;
  const sound = encodeProposal({ life: 1, sequence: 1, command });
  for (const data of [none, sound.slice(0, -1), Uint8Array.from([9, ...sound.slice(1)]), sound.slice(0, 3)]) {
    const { lastIndex } = world.node(0).replica.log;
    say(encodeFrame({ type: "forward", term, floor: 0, data }));
    await world.run(10);
    assert.equal(world.node(0).replica.log.lastIndex, lastIndex);
  }
  await world.run(1000);
  assert.deepEqual(world.machines[0]?.fatal, []);
});
