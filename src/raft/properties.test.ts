/** The parts without messages against models that are too simple to be wrong. */

import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { Inflights } from "./inflights.ts";
import { Progress } from "./progress.ts";
import { jointCommittedIndex, jointVoteResult, majorityCommittedIndex } from "./quorum.ts";
import type { Entry } from "./types.ts";
import { Unstable } from "./unstable.ts";

const ids = fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { maxLength: 7 });
const entry = (index: number, term: number): Entry => ({
  index,
  term,
  type: "normal",
  data: new Uint8Array(0),
});

test("quorum: the committed index is the highest that more than half of each half has", () => {
  const indexes = fc.dictionary(fc.integer({ min: 1, max: 7 }).map(String), fc.nat(9));
  fc.assert(
    fc.property(ids, ids, indexes, (incoming, outgoing, known) => {
      const has = (id: number, index: number): boolean => (known[id] ?? 0) >= index;
      const agrees = (voters: number[], index: number): boolean =>
        voters.length === 0 || voters.filter((id) => has(id, index)).length * 2 > voters.length;
      let expected = Infinity;
      if (incoming.length > 0 || outgoing.length > 0) {
        expected = 0;
        for (let index = 1; index <= 9; index++) {
          if (agrees(incoming, index) && agrees(outgoing, index)) expected = index;
        }
      }
      const voters = { incoming: new Set(incoming), outgoing: new Set(outgoing) };
      assert.equal(
        jointCommittedIndex(voters, (id) => known[id]),
        expected,
      );
    }),
    { seed: 1, numRuns: 1000 },
  );
});

test("quorum: a vote is won or lost exactly when nothing that is missing could change that", () => {
  const cast = fc.dictionary(fc.integer({ min: 1, max: 7 }).map(String), fc.boolean());
  fc.assert(
    fc.property(ids, ids, cast, (incoming, outgoing, known) => {
      const wins = (missing: boolean): boolean =>
        [incoming, outgoing].every(
          (half) => half.length === 0 || half.filter((id) => known[id] ?? missing).length * 2 > half.length,
        );
      // As if all who have not voted yet said no, or yes.
      const expected = wins(false) ? "won" : wins(true) ? "pending" : "lost";
      const votes = new Map(Object.entries(known).map(([id, vote]) => [Number(id), vote]));
      const voters = { incoming: new Set(incoming), outgoing: new Set(outgoing) };
      assert.equal(jointVoteResult(voters, votes), expected);
    }),
    { seed: 2, numRuns: 1000 },
  );
});

test("quorum: whoever acknowledges more never lowers what is committed", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.nat(9), { minLength: 1, maxLength: 9 }),
      fc.array(fc.nat(20)),
      (all, at) => {
        const voters = new Set(all);
        const first = majorityCommittedIndex(voters, (id) => at[id]);
        const later = majorityCommittedIndex(voters, (id) => (at[id] ?? 0) + (id % 3));
        assert.ok(later >= first);
      },
    ),
    { seed: 3, numRuns: 500 },
  );
});

test("inflights: a window is the list of what was added and not freed", () => {
  const step = fc.oneof(
    fc.record({ add: fc.integer({ min: 1, max: 3 }), bytes: fc.nat(40) }),
    fc.record({ free: fc.nat(60) }),
    fc.record({ reset: fc.constant(true) }),
  );
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 100 }),
      fc.array(step),
      (max, bytes, steps) => {
        const window = new Inflights(max, bytes);
        let model: { index: number; bytes: number }[] = [];
        let last = 0;
        for (const next of steps) {
          if ("add" in next) {
            if (window.full) {
              assert.throws(() => window.add(last + 1, 1), /window is full/);
              continue;
            }
            last += next.add;
            window.add(last, next.bytes);
            model.push({ index: last, bytes: next.bytes });
          } else if ("free" in next) {
            window.freeUpTo(next.free);
            model = model.filter(({ index }) => index > next.free);
          } else {
            window.reset();
            model = [];
          }
          const inFlight = model.reduce((sum, each) => sum + each.bytes, 0);
          assert.equal(window.count, model.length);
          assert.equal(window.full, model.length >= max || inFlight >= bytes);
        }
      },
    ),
    { seed: 4, numRuns: 500 },
  );
});

test("unstable: appends, overwrites, writes in progress and late reports leave the log that a plain list has", () => {
  const step = fc.oneof(
    fc.record({ append: fc.integer({ min: 0, max: 6 }), count: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ write: fc.constant(true) }),
    fc.record({ report: fc.nat(3) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const unstable = new Unstable(1);
      let log: Entry[] = [];
      /** What the disk has, and what it will still report. */
      let disk: Entry[] = [];
      const reports: Entry[] = [];
      let term = 1;
      for (const next of steps) {
        if ("append" in next) {
          // Each append that overwrites is of a newer leader.
          term++;
          const from = Math.max(1, log.length + 1 - next.append);
          const entries = Array.from({ length: next.count }, (_, at) => entry(from + at, term));
          log = [...log.slice(0, from - 1), ...entries];
          unstable.truncateAndAppend(entries);
        } else if ("write" in next) {
          const entries = unstable.nextEntries();
          const [first] = entries;
          if (first !== undefined) disk = [...disk.slice(0, first.index - 1), ...entries];
          unstable.acceptInProgress();
          const last = log.at(-1);
          if (last !== undefined) reports.push(last);
        } else {
          const late = reports.splice(next.report, 1)[0];
          if (late !== undefined) unstable.stableTo(late.index, late.term);
        }
        // Whatever the order of reports: durable part and unstable part together are the log.
        const stable = log.slice(0, unstable.offset - 1);
        assert.deepEqual([...stable, ...unstable.entries], log);
        assert.ok(unstable.offset <= unstable.offsetInProgress);
        assert.ok(unstable.offsetInProgress <= unstable.offset + unstable.entries.length);
        assert.deepEqual(disk.slice(0, stable.length), stable, "what counts as durable is on the disk");
        assert.equal(unstable.hasNextEntries(), unstable.nextEntries().length > 0);
      }
    }),
    { seed: 5, numRuns: 1000 },
  );
});

test("progress: whatever a follower says, match < next, and match never goes back", () => {
  const step = fc.oneof(
    fc.record({ send: fc.integer({ min: 0, max: 3 }) }),
    fc.record({ acknowledge: fc.nat(20) }),
    fc.record({ reject: fc.nat(20), hint: fc.nat(20) }),
    fc.record({ become: fc.constantFrom("probe", "replicate", "snapshot") }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
      const progress = new Progress({
        match: 0,
        next: 5,
        isLearner: false,
        recentActive: true,
        maxInflightMessages: 3,
        maxInflightBytes: 100,
      });
      for (const next of steps) {
        const before = progress.match;
        if ("send" in next) {
          if (!progress.paused && !progress.inflights.full) progress.sentEntries(next.send, 10 * next.send);
        } else if ("acknowledge" in next) {
          assert.equal(progress.acknowledge(next.acknowledge), next.acknowledge > before);
        } else if ("reject" in next) {
          const isNews = progress.reject(next.reject, next.hint);
          if (isNews) assert.ok(progress.next <= Math.max(next.reject, progress.match + 1));
        } else if (next.become === "probe") {
          progress.becomeProbe();
        } else if (next.become === "replicate") {
          progress.becomeReplicate();
        } else {
          progress.becomeSnapshot(progress.match + 3);
        }
        assert.ok(progress.match >= before);
        assert.ok(progress.match < progress.next, JSON.stringify(progress.status()));
        if (progress.state !== "snapshot") assert.equal(progress.pendingSnapshot, 0);
        if (progress.state === "snapshot") assert.ok(progress.paused);
      }
    }),
    { seed: 6, numRuns: 1000 },
  );
});
