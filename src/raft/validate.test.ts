import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { TestCluster } from "./testing/cluster.ts";
import { emptyConfState } from "./testing/memory-storage.ts";
import type { Entry, Message, MessageType } from "./types.ts";
import { confStateFault, validateMessage } from "./validate.ts";

const receiver = { id: 1, term: 5 };
const none = new Uint8Array(0);
const entry = (index: number, term: number): Entry => ({ index, term, type: "normal", data: none });
const append: Message = { type: "append", to: 1, from: 2, term: 5, index: 3, logTerm: 4, commit: 3 };
const vote: Message = { type: "vote", to: 1, from: 2, term: 6, index: 3, logTerm: 5 };
const snapshot: Message = {
  type: "snapshot",
  to: 1,
  from: 2,
  term: 5,
  snapshot: { metadata: { index: 9, term: 5, confState: { ...emptyConfState, voters: [1, 2] } }, token: "t" },
};
const change = {
  transition: "auto" as const,
  changes: [{ type: "addVoter" as const, nodeId: 4 }],
  context: none,
};
const propose: Message = {
  type: "propose",
  to: 1,
  from: 2,
  entries: [{ ...entry(0, 0), type: "confChange", confChange: change }],
};

const sound: Record<string, Message> = {
  "an append": { ...append, entries: [entry(4, 4), entry(5, 5)] },
  "an append to an empty log": { ...append, index: 0, logTerm: 0, entries: [entry(1, 1)] },
  "a vote request": vote,
  // Found by the simulation: its first states are of term 1, and nobody has been in a term.
  "a vote request of a member that begins with a state": { ...vote, term: 1, index: 1, logTerm: 1 },
  "a vote request of an empty log": { ...vote, index: 0, logTerm: 0 },
  "a snapshot": snapshot,
  "a forwarded change": propose,
  "a read": { type: "readIndex", to: 1, from: 2, context: "r" },
  "a heartbeat of a newer term": { type: "heartbeat", to: 1, from: 2, term: 50, commit: 0 },
};

const withConfState = (changed: object): Message => {
  const confState = { ...emptyConfState, voters: [1, 2], ...changed };
  return { ...snapshot, snapshot: { metadata: { index: 9, term: 5, confState }, token: "t" } };
};
const withChange = (changed: object): Message => ({
  ...propose,
  entries: [{ ...entry(0, 0), type: "confChange", confChange: { ...change, ...changed } }],
});

const faulty: Record<string, [Message, RegExp]> = {
  "for another": [{ ...vote, to: 3 }, /another member/],
  "from oneself": [{ ...vote, from: 1 }, /no other member/],
  "from a storage task": [{ ...append, from: -1 }, /no other member/],
  "a member's own": [{ type: "hup", to: 1, from: 2 }, /no message between members/],
  "of no known type": [{ ...vote, type: "shout" as MessageType }, /no message between members/],
  // Would pass for a local message, and so for one of the leader of any term.
  "an append without a term": [{ ...append, term: 0 }, /no term/],
  "a vote request without a term": [{ ...vote, term: 0, logTerm: 0 }, /no term/],
  "a proposal with a term": [{ ...propose, term: 9 }, /has a term/],
  "a term beyond counting": [{ ...append, term: 2 ** 60 }, /term is no count/],
  "a garbled term": [{ type: "heartbeat", to: 1, from: 2, term: 2 ** 50 }, /far beyond/],
  "an index that is no number": [{ ...append, index: Number.NaN }, /index is no count/],
  "a negative index": [{ ...append, index: -1 }, /index is no count/],
  "half an index": [{ ...append, commit: 1.5 }, /commit is no count/],
  "a gap after the previous entry": [{ ...append, entries: [entry(5, 5)] }, /does not follow 3/],
  "a gap among the entries": [{ ...append, entries: [entry(4, 5), entry(6, 5)] }, /does not follow 4/],
  "terms that go back": [{ ...append, entries: [entry(4, 5), entry(5, 4)] }, /term of entry 5/],
  "an entry of a future term": [{ ...append, entries: [entry(4, 6)] }, /term of entry 4/],
  "an entry without a term": [{ ...append, index: 0, logTerm: 0, entries: [entry(1, 0)] }, /term of entry 1/],
  "a previous entry of a future term": [{ ...append, logTerm: 6 }, /entry before/],
  "a previous entry without a term": [{ ...append, logTerm: 0 }, /entry before/],
  "a previous entry 0 with a term": [{ ...append, index: 0 }, /no entry 0/],
  "the last index beyond counting": [
    {
      ...append,
      index: Number.MAX_SAFE_INTEGER,
      entries: [entry(Number.MAX_SAFE_INTEGER + 1, 5)],
    },
    /beyond counting/,
  ],
  "a candidate whose log is ahead of it": [{ ...vote, logTerm: 7 }, /newer term than itself/],
  "a proposal of nothing": [{ ...propose, entries: [] }, /proposes nothing/],
  "a change that is not there": [
    { ...propose, entries: [{ ...entry(0, 0), type: "confChange" }] },
    /does not say what it changes/,
  ],
  "a change in a normal entry": [
    { ...propose, entries: [{ ...entry(0, 0), confChange: change }] },
    /what it/,
  ],
  "a change about half a member": [withChange({ changes: [{ type: "addVoter", nodeId: 1.5 }] }), /no member/],
  "an unknown step": [withChange({ changes: [{ type: "crown", nodeId: 1 }] }), /unknown step/],
  "an unknown transition": [withChange({ transition: "sudden" }), /no known kind/],
  "no snapshot": [{ type: "snapshot", to: 1, from: 2, term: 5 }, /has no snapshot/],
  "a snapshot of nothing": [
    { ...snapshot, snapshot: { metadata: { index: 0, term: 0, confState: emptyConfState }, token: "" } },
    /no index/,
  ],
  "a snapshot of a future term": [{ ...snapshot, term: 4 }, /impossible term/],
  "a configuration without voters": [withConfState({ voters: [] }), /no voters/],
  "a configuration that is no list": [withConfState({ voters: "12" }), /without ids/],
  "a member 0": [withConfState({ voters: [0] }), /without ids/],
  "a member twice": [withConfState({ voters: [1, 1] }), /twice/],
  "a learner that votes": [withConfState({ learners: [2] }), /another role/],
  "a future learner that does not vote": [withConfState({ learnersNext: [3] }), /does not vote/],
  "a future learner that stays a voter": [
    withConfState({ votersOutgoing: [1, 2], learnersNext: [2] }),
    /to become a learner/,
  ],
  "the end of what is not joint": [withConfState({ autoLeave: true }), /not joint/],
  "no answer to whether it ends": [withConfState({ autoLeave: undefined }), /does not say whether/],
  "a read without an id": [{ type: "readIndex", to: 1, from: 2 }, /which read/],
};

test("sound messages pass", () => {
  for (const [name, message] of Object.entries(sound)) {
    assert.equal(validateMessage(message, receiver), undefined, name);
  }
});

test("messages that no working member sends are refused, with the reason", () => {
  for (const [name, [message, reason]] of Object.entries(faulty)) {
    assert.match(validateMessage(message, receiver) ?? "accepted", reason, name);
  }
});

test("whatever is given for a message: an answer, and no exception", () => {
  const message = fc.record(
    {
      type: fc.constantFrom(...(Object.values(sound).map(({ type }) => type) as MessageType[]), "hup", 7),
      to: fc.oneof(fc.constant(1), fc.anything()),
      from: fc.oneof(fc.constant(2), fc.anything()),
      term: fc.oneof(fc.constant(5), fc.anything()),
      index: fc.oneof(fc.nat(5), fc.anything()),
      logTerm: fc.oneof(fc.nat(5), fc.anything()),
      entries: fc.oneof(fc.array(fc.anything(), { maxLength: 2 }), fc.anything()),
      snapshot: fc.oneof(
        fc.record({ metadata: fc.record({ index: fc.nat(), term: fc.nat(), confState: fc.anything() }) }),
        fc.anything(),
      ),
      context: fc.anything(),
    },
    { requiredKeys: ["type"] },
  );
  fc.assert(
    fc.property(message, (each) => {
      const reason = validateMessage(each as unknown as Message, receiver);
      assert.ok(reason === undefined || reason.length > 0);
    }),
    { seed: 3, numRuns: 3000 },
  );
});

test("a configuration that any member has is no fault", () => {
  const joint = { voters: [1, 4], learners: [5], votersOutgoing: [1, 2], learnersNext: [2], autoLeave: true };
  assert.equal(confStateFault(joint), undefined);
});

// What a message may say, as far as its form goes: near enough to the receiver's state to be taken seriously.
const near = fc.oneof(fc.integer({ min: 0, max: 8 }), fc.constantFrom(100, 2 ** 40));
const nearTerm = fc.oneof(fc.integer({ min: 1, max: 6 }), fc.constantFrom(1000, 2 ** 31));
const someId = fc.constantFrom(2, 3, 4);
const someChange = fc.record({
  transition: fc.constantFrom("auto" as const, "explicit" as const),
  changes: fc.array(
    fc.record({ type: fc.constantFrom("addVoter" as const, "addLearner" as const), nodeId: fc.nat(5) }),
    { maxLength: 2 },
  ),
  context: fc.constant(none),
});
const someEntries = fc.array(
  fc.record({ term: fc.integer({ min: 1, max: 6 }), confChange: fc.option(someChange, { nil: undefined }) }),
  { maxLength: 3 },
);
const someMessage = fc
  .record({
    type: fc.constantFrom<MessageType>(
      ...(["propose", "append", "append", "appendResponse", "vote", "voteResponse", "preVote"] as const),
      ...(["preVoteResponse", "snapshot", "heartbeat", "heartbeatResponse", "transferLeader"] as const),
      ...(["timeoutNow", "readIndex", "readIndexResponse"] as const),
    ),
    from: someId,
    term: nearTerm,
    index: near,
    logTerm: fc.integer({ min: 0, max: 6 }),
    commit: near,
    reject: fc.boolean(),
    rejectHint: near,
    context: fc.constantFrom("1", "2", "9", "transfer", "x"),
    entries: someEntries,
    voters: fc.subarray([1, 2, 3, 4], { minLength: 1 }),
  })
  .map(({ voters, entries, ...fields }): Message => {
    const hasTerm = fields.type !== "propose" && fields.type !== "readIndex";
    const { index, logTerm } = fields;
    return {
      ...fields,
      to: 1,
      term: hasTerm ? fields.term : 0,
      entries: entries.map(({ term, confChange }, position): Entry => {
        const head = { ...entry(index + 1 + position, Math.max(term, logTerm)) };
        return confChange === undefined ? head : { ...head, type: "confChange", confChange };
      }),
      ...(fields.type === "snapshot"
        ? {
            snapshot: {
              metadata: { index, term: logTerm, confState: { ...emptyConfState, voters } },
              token: "t",
            },
          }
        : {}),
    };
  });

/** What a lie in a well-formed message can still do: stop the one member that it is told to. */
const documentedStops = [
  /the commit index is within the log/,
  // A lying leader commits what a true one would have refused.
  /can't make a zero-voter config joint|config is already joint|in joint config|non-joint config|more than one voter/,
];

test("well-formed nonsense never breaks the core: it stops with a documented assertion, or goes on", () => {
  let accepted = 0;
  let stopped = 0;
  const situation = fc.constantFrom("follower", "candidate", "leader", "transferring", "joint");
  fc.assert(
    fc.property(situation, fc.array(someMessage, { minLength: 1, maxLength: 25 }), (role, messages) => {
      const cluster = clusterIn(role);
      const { node } = cluster.get(1);
      try {
        for (const message of messages) {
          if (validateMessage(message, { id: 1, term: node.raft.term }) !== undefined) continue;
          accepted++;
          node.step(message);
          cluster.settle();
          node.tick();
          cluster.settle();
          assert.ok(node.raft.log.committed <= node.raft.log.lastIndex());
          assert.ok(Number.isSafeInteger(node.raft.term));
        }
      } catch (error) {
        const { message } = error as Error;
        assert.ok(
          documentedStops.some((stop) => stop.test(message)),
          String((error as Error).stack),
        );
        stopped++;
      }
    }),
    { seed: 11, numRuns: 1500 },
  );
  assert.ok(accepted > 5000, `most of the nonsense has the form of a message: ${accepted}`);
  assert.ok(stopped < 1500 / 5, `and most of it is survived: ${stopped}`);
});

/** Three members, of which the first will be lied to, and the others stay silent from now on. */
function clusterIn(role: string): TestCluster {
  const cluster = new TestCluster([1, 2, 3], { config: { preVote: true, checkQuorum: true } });
  cluster.elect(role === "follower" || role === "candidate" ? 2 : 1);
  const { node } = cluster.get(1);
  cluster.get(role === "follower" || role === "candidate" ? 2 : 1).node.propose(Buffer.from("x"));
  cluster.settle();
  if (role === "joint") node.proposeConfChange({ ...change, transition: "explicit" });
  cluster.settle();
  cluster.delivers = () => false;
  if (role === "candidate") node.campaign();
  if (role === "transferring") {
    node.propose(Buffer.from("y"));
    node.transferLeadership(3);
  }
  cluster.settle();
  return cluster;
}
