/**
 * What every `Backend` must do, as tests: `backendConformance("name", open)` registers them. Each case
 * gets the same backend and works under a key prefix and from a revision of its own, so that a suite on a
 * real cluster pays for one cluster only. Tests of failures belong to the implementations.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Backend, KeyValue, Transaction, Watch, WatchEvent } from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import { prefixEnd } from "#base/key-range.ts";

export interface OpenBackend {
  backend: Backend;
  close(): Promise<void>;
}

export function backendConformance(name: string, open: () => Promise<OpenBackend>): void {
  describe(`Backend conformance: ${name}`, () => {
    let opened: OpenBackend;
    before(async () => {
      opened = await open();
    });
    after(async () => {
      await opened.close();
    });
    for (const [title, run] of cases) {
      test(title, async () => run(new Probe(opened.backend)));
    }
  });
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
let prefixes = 0;

/** A backend with short words for the tests, and a prefix of its own. */
class Probe {
  readonly backend: Backend;
  readonly prefix: string;

  constructor(backend: Backend) {
    this.backend = backend;
    this.prefix = `/conformance/${++prefixes}/`;
  }

  key(name: string): string {
    return this.prefix + name;
  }

  async transact(transaction: Partial<Transaction>) {
    return this.backend.transact({ compare: [], success: [], failure: [], ...transaction });
  }

  /** Returns the new revision. */
  async put(name: string, text: string): Promise<number> {
    const { revision } = await this.transact({
      success: [{ type: "put", key: this.key(name), value: encoder.encode(text) }],
    });
    return revision;
  }

  async remove(name: string): Promise<number> {
    return (await this.transact({ success: [{ type: "delete", key: this.key(name) }] })).revision;
  }

  async get(name: string, revision?: number): Promise<KeyValue | undefined> {
    const at = revision === undefined ? {} : { revision };
    return (await this.backend.range({ key: this.key(name), ...at })).kvs[0];
  }

  async list(options: { limit?: number; revision?: number; keysOnly?: boolean; countOnly?: boolean } = {}) {
    return this.backend.range({ key: this.prefix, end: prefixEnd(this.prefix), ...options });
  }

  names(kvs: KeyValue[]): string[] {
    return kvs.map((kv) => kv.key.slice(this.prefix.length));
  }

  watch(fromRevision?: number): Recording {
    return new Recording(this.backend, this.prefix, fromRevision);
  }
}

/** A watch on a prefix that remembers what it was told, and checks the order of it. */
export class Recording {
  readonly events: WatchEvent[] = [];
  readonly calls: { revisions: number[]; revision: number }[] = [];
  revision = 0;
  ended = false;
  error: Error | undefined;
  readonly #watch: Watch;
  #waiting: (() => void)[] = [];

  constructor(backend: Backend, prefix: string, fromRevision?: number) {
    this.#watch = backend.watch(
      {
        key: prefix,
        end: prefixEnd(prefix),
        ...(fromRevision === undefined ? {} : { fromRevision }),
      },
      {
        onEvents: (events, revision) => this.#onEvents(events, revision),
        onEnd: (error) => {
          assert.ok(!this.ended, "a watch ends once");
          this.ended = true;
          this.error = error;
          this.#wake();
        },
      },
    );
  }

  cancel(): void {
    this.#watch.cancel();
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + 10_000;
    while (!condition()) {
      if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 10_000);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  async started(): Promise<void> {
    await this.until(() => this.calls.length > 0, "the first call of the watch");
  }

  async upTo(revision: number): Promise<void> {
    await this.until(() => this.revision >= revision, `revision ${revision} in the watch`);
  }

  describe(prefix: string): string[] {
    return this.events.map(
      ({ type, kv }) =>
        `${kv.modRevision} ${type} ${kv.key.slice(prefix.length)} ${decoder.decode(kv.value)}`,
    );
  }

  #onEvents(events: readonly WatchEvent[], revision: number): void {
    assert.ok(!this.ended, "nothing comes after the end");
    for (const event of events) {
      assert.ok(event.kv.modRevision > this.revision, "a revision is told once and completely");
      assert.ok(event.kv.modRevision >= (this.events.at(-1)?.kv.modRevision ?? 0), "revisions in order");
      this.events.push(event);
    }
    assert.ok(revision >= this.revision, "progress never goes back");
    assert.ok((events.at(-1)?.kv.modRevision ?? 0) <= revision, "progress covers the events");
    this.calls.push({ revisions: events.map((event) => event.kv.modRevision), revision });
    this.revision = revision;
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

const text = (kv: KeyValue | undefined) => (kv === undefined ? undefined : decoder.decode(kv.value));
const refused = (reason: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof StatusError, String(error));
  assert.equal(error.reason, reason);
  assert.match(error.message, message);
  return true;
};

const cases: [string, (probe: Probe) => Promise<void>][] = [
  [
    "a put is read back with its revisions",
    async (probe) => {
      const first = await probe.put("a", "one");
      assert.deepEqual(await probe.get("a"), {
        key: probe.key("a"),
        value: encoder.encode("one"),
        createRevision: first,
        modRevision: first,
        version: 1,
        lease: "0",
      });
      const second = await probe.put("a", "two");
      assert.equal(second, first + 1);
      const kv = await probe.get("a");
      assert.equal(text(kv), "two");
      assert.deepEqual([kv?.createRevision, kv?.modRevision, kv?.version], [first, second, 2]);
    },
  ],
  [
    "a deleted key is gone and starts anew when it comes back",
    async (probe) => {
      await probe.put("a", "one");
      const deletion = await probe.remove("a");
      assert.equal(await probe.get("a"), undefined);
      const again = await probe.put("a", "two");
      assert.equal(again, deletion + 1);
      const kv = await probe.get("a");
      assert.deepEqual([kv?.createRevision, kv?.version], [again, 1]);
    },
  ],
  [
    "what changes nothing takes no revision",
    async (probe) => {
      const revision = await probe.put("a", "one");
      const result = await probe.transact({
        success: [
          { type: "delete", key: probe.key("absent") },
          { type: "range", request: { key: probe.key("a") } },
        ],
      });
      assert.equal(result.revision, revision);
      assert.deepEqual(result.results[0], { type: "delete", deleted: 0, previous: [] });
    },
  ],
  [
    "ranges are in the order of bytes, limited, counted, without values",
    async (probe) => {
      for (const name of ["b", "a", "c", "a/b", "é", "a\0"]) await probe.put(name, `value of ${name}`);
      const all = await probe.list();
      assert.deepEqual(probe.names(all.kvs), ["a", "a\0", "a/b", "b", "c", "é"]);
      assert.deepEqual([all.count, all.more], [6, false]);
      const limited = await probe.list({ limit: 2 });
      assert.deepEqual(probe.names(limited.kvs), ["a", "a\0"]);
      assert.deepEqual([limited.count, limited.more], [6, true]);
      const keys = await probe.list({ keysOnly: true });
      assert.ok(keys.kvs.every((kv) => kv.value.length === 0 && kv.version === 1));
      const count = await probe.list({ countOnly: true });
      assert.deepEqual([count.kvs.length, count.count], [0, 6]);
      const from = await probe.backend.range({ key: probe.key("c"), end: "\0" });
      assert.deepEqual(probe.names(from.kvs).slice(0, 2), ["c", "é"]);
    },
  ],
  [
    "values are bytes, empty and large ones too",
    async (probe) => {
      const bytes = Uint8Array.from({ length: 256 }, (_, at) => at);
      const large = new Uint8Array(1_000_000).fill(7);
      await probe.transact({
        success: [
          { type: "put", key: probe.key("bytes"), value: bytes },
          { type: "put", key: probe.key("empty"), value: new Uint8Array(0) },
          { type: "put", key: probe.key("large"), value: large },
        ],
      });
      assert.deepEqual(new Uint8Array((await probe.get("bytes"))?.value ?? []), bytes);
      assert.equal((await probe.get("empty"))?.value.length, 0);
      assert.deepEqual(new Uint8Array((await probe.get("large"))?.value ?? []), large);
    },
  ],
  [
    "the past can be read",
    async (probe) => {
      const one = await probe.put("a", "one");
      await probe.put("b", "b");
      const two = await probe.put("a", "two");
      const gone = await probe.remove("a");
      assert.equal(text(await probe.get("a", one)), "one");
      assert.equal(text(await probe.get("a", two - 1)), "one");
      assert.equal(text(await probe.get("a", two)), "two");
      assert.equal(await probe.get("a", gone), undefined);
      const past = await probe.list({ revision: two, limit: 1 });
      assert.deepEqual([probe.names(past.kvs), past.count, past.more], [["a"], 2, true]);
      assert.ok(past.revision >= gone);
      await assert.rejects(
        async () => probe.get("a", gone + 1_000_000),
        refused("BadRequest", /future revision/),
      );
    },
  ],
  [
    "comparisons",
    async (probe) => {
      const revision = await probe.put("a", "m");
      const key = probe.key("a");
      const absent = probe.key("absent");
      const value = (text: string) => encoder.encode(text);
      const table: [Transaction["compare"][number], boolean][] = [
        [{ key, target: "mod", operator: "=", number: revision }, true],
        [{ key, target: "mod", operator: "<", number: revision }, false],
        [{ key, target: "create", operator: ">", number: 0 }, true],
        [{ key, target: "version", operator: "!=", number: 1 }, false],
        [{ key, target: "value", operator: "=", value: value("m") }, true],
        [{ key, target: "value", operator: "<", value: value("n") }, true],
        [{ key, target: "value", operator: ">", value: value("lm") }, true],
        [{ key, target: "lease", operator: "=", lease: "0" }, true],
        [{ key: absent, target: "mod", operator: "=", number: 0 }, true],
        [{ key: absent, target: "version", operator: ">", number: 0 }, false],
        [{ key: absent, target: "value", operator: "!=", value: value("x") }, false],
        [
          { key: probe.prefix, end: prefixEnd(probe.prefix), target: "version", operator: "=", number: 1 },
          true,
        ],
        [
          { key: probe.prefix, end: prefixEnd(probe.prefix), target: "version", operator: ">", number: 1 },
          false,
        ],
      ];
      for (const [compare, expected] of table) {
        const result = await probe.transact({ compare: [compare] });
        assert.equal(result.succeeded, expected, JSON.stringify(compare));
      }
    },
  ],
  [
    "the branch that is not chosen does nothing; results come in order, with previous values on request",
    async (probe) => {
      await probe.put("a", "one");
      const result = await probe.transact({
        compare: [{ key: probe.key("a"), target: "version", operator: "=", number: 9 }],
        success: [{ type: "put", key: probe.key("never"), value: encoder.encode("x") }],
        failure: [
          { type: "put", key: probe.key("a"), value: encoder.encode("two"), previous: true },
          { type: "range", request: { key: probe.key("a") } },
          { type: "delete", key: probe.key("b"), end: probe.key("c"), previous: true },
        ],
      });
      assert.equal(result.succeeded, false);
      const [put, range, deletion] = result.results;
      assert.equal(put?.type === "put" ? text(put.previous) : "", "one");
      assert.equal(range?.type === "range" ? text(range.result.kvs[0]) : "", "two");
      assert.equal(range?.type === "range" ? range.result.revision : 0, result.revision);
      assert.deepEqual(deletion, { type: "delete", deleted: 0, previous: [] });
      assert.equal(await probe.get("never"), undefined);
    },
  ],
  [
    "nested transactions are decided on the state before, and share the revision",
    async (probe) => {
      const before = await probe.put("a", "one");
      const result = await probe.transact({
        success: [
          { type: "put", key: probe.key("a"), value: encoder.encode("two") },
          {
            type: "txn",
            txn: {
              compare: [
                { key: probe.key("a"), target: "value", operator: "=", value: encoder.encode("one") },
              ],
              success: [{ type: "put", key: probe.key("b"), value: encoder.encode("nested") }],
              failure: [],
            },
          },
        ],
      });
      assert.equal(result.revision, before + 1);
      const nested = result.results[1];
      assert.equal(nested?.type === "txn" && nested.result.succeeded, true);
      assert.deepEqual(
        (await probe.list()).kvs.map((kv) => [kv.modRevision, text(kv)]),
        [
          [before + 1, "two"],
          [before + 1, "nested"],
        ],
      );
    },
  ],
  [
    "a range delete removes all of it in one revision",
    async (probe) => {
      for (const name of ["a", "b", "c"]) await probe.put(name, name);
      const watch = probe.watch();
      await watch.started();
      const result = await probe.transact({
        success: [{ type: "delete", key: probe.prefix, end: probe.key("c"), previous: true }],
      });
      const deletion = result.results[0];
      assert.equal(deletion?.type === "delete" && deletion.deleted, 2);
      assert.deepEqual(deletion?.type === "delete" && deletion.previous.map(text), ["a", "b"]);
      assert.deepEqual(probe.names((await probe.list()).kvs), ["c"]);
      await watch.upTo(result.revision);
      assert.deepEqual(watch.calls.at(-1)?.revisions, [result.revision, result.revision]);
      watch.cancel();
    },
  ],
  [
    "a transaction that changes a key twice is refused",
    async (probe) => {
      const put = { type: "put" as const, key: probe.key("a"), value: encoder.encode("x") };
      await assert.rejects(probe.transact({ success: [put, put] }), refused("BadRequest", /duplicate key/));
      await assert.rejects(
        probe.transact({
          success: [put, { type: "delete", key: probe.prefix, end: prefixEnd(probe.prefix) }],
        }),
        refused("BadRequest", /duplicate key/),
      );
      await assert.rejects(
        probe.transact({ success: [{ ...put, key: "" }] }),
        refused("BadRequest", /key is not provided/),
      );
    },
  ],
  [
    "a fence of another term refuses the transaction",
    async (probe) => {
      const { term } = await probe.backend.status();
      const success: Transaction["success"] = [
        { type: "put", key: probe.key("a"), value: encoder.encode("x") },
      ];
      await assert.rejects(
        probe.transact({ success, fenceTerm: term + 1 }),
        refused("Conflict", /^fenced: /),
      );
      assert.equal(await probe.get("a"), undefined);
      assert.equal((await probe.transact({ success, fenceTerm: term })).succeeded, true);
    },
  ],
  [
    "a put with a lease needs that lease, and keeps its id as given",
    async (probe) => {
      const id = "7587848943239472663";
      const put = { type: "put", key: probe.key("a"), value: encoder.encode("x"), lease: id } as const;
      await assert.rejects(
        probe.transact({ success: [put] }),
        refused("NotFound", /requested lease not found/),
      );
      assert.equal(await probe.get("a"), undefined);
      const granted = await probe.backend.leases.grant(id, 600);
      assert.deepEqual([granted.id, granted.ttlSeconds], [id, 600]);
      await probe.transact({ success: [put] });
      assert.equal((await probe.get("a"))?.lease, id);
      const compared = await probe.transact({
        compare: [{ key: put.key, target: "lease", operator: ">", lease: "7587848943239472662" }],
      });
      assert.equal(compared.succeeded, true);
      await probe.backend.leases.revoke(id);
      assert.equal(await probe.get("a"), undefined);
    },
  ],
  [
    "a revoked lease takes its keys with it, in one revision",
    async (probe) => {
      const { leases } = probe.backend;
      const { id } = await leases.grant("0", 600);
      assert.match(id, /^[1-9]\d*$/);
      for (const name of ["b", "a", "moved", "gone"])
        await probe.transact({
          success: [{ type: "put", key: probe.key(name), value: encoder.encode(name), lease: id }],
        });
      // The last put decides to which lease a key belongs.
      await probe.put("moved", "free");
      const before = await probe.remove("gone");
      const { keys, grantedSeconds, ttlSeconds } = await leases.inspect(id, true);
      assert.deepEqual(keys, [probe.key("a"), probe.key("b")]);
      assert.ok(grantedSeconds === 600 && ttlSeconds > 590 && ttlSeconds <= 600);
      assert.ok((await leases.list()).includes(id));
      assert.equal(await leases.renew(id), 600);
      const watch = probe.watch();
      await watch.started();
      const revision = await leases.revoke(id);
      assert.equal(revision, before + 1);
      await watch.upTo(revision);
      assert.deepEqual(watch.describe(probe.prefix), [`${revision} delete a `, `${revision} delete b `]);
      watch.cancel();
      assert.deepEqual(probe.names((await probe.list()).kvs), ["moved"]);
      const missing = refused("NotFound", /^etcdserver: requested lease not found$/);
      await assert.rejects(leases.revoke(id), missing);
      await assert.rejects(leases.renew(id), missing);
      await assert.rejects(leases.inspect(id, false), missing);
      assert.ok(!(await leases.list()).includes(id));
    },
  ],
  [
    "lease ids are unique, and their times have bounds",
    async (probe) => {
      const { leases } = probe.backend;
      const { id, ttlSeconds } = await leases.grant("0", 1);
      assert.ok(ttlSeconds >= 2, "shorter than an election");
      await assert.rejects(
        leases.grant(id, 60),
        refused("AlreadyExists", /^etcdserver: lease already exists$/),
      );
      await assert.rejects(leases.grant("0", 9_000_000_001), refused("BadRequest", /too large lease TTL/));
      await leases.revoke(id);
    },
  ],
  [
    "a put can keep the value or the lease that is there",
    async (probe) => {
      const { leases } = probe.backend;
      const { id } = await leases.grant("0", 600);
      const key = probe.key("a");
      const empty = new Uint8Array(0);
      const put = { type: "put", key, value: encoder.encode("x") } as const;
      await assert.rejects(
        probe.transact({ success: [{ ...put, ignoreLease: true }] }),
        refused("BadRequest", /^etcdserver: key not found$/),
      );
      await probe.transact({ success: [{ ...put, lease: id }] });
      await probe.transact({ success: [{ ...put, value: encoder.encode("y"), ignoreLease: true }] });
      assert.deepEqual([text(await probe.get("a")), (await probe.get("a"))?.lease], ["y", id]);
      await probe.transact({ success: [{ type: "put", key, value: empty, ignoreValue: true }] });
      assert.deepEqual([text(await probe.get("a")), (await probe.get("a"))?.lease], ["y", "0"]);
      await assert.rejects(
        probe.transact({ success: [{ ...put, ignoreValue: true }] }),
        refused("BadRequest", /^etcdserver: value is provided$/),
      );
      await assert.rejects(
        probe.transact({ success: [{ ...put, lease: id, ignoreLease: true }] }),
        refused("BadRequest", /^etcdserver: lease is provided$/),
      );
      await leases.revoke(id);
    },
  ],
  [
    "a watch sees what comes, with previous values, in order",
    async (probe) => {
      const watch = probe.watch();
      await watch.started();
      const one = await probe.put("a", "one");
      const two = await probe.put("a", "two");
      const gone = await probe.remove("a");
      await watch.upTo(gone);
      assert.deepEqual(watch.describe(probe.prefix), [
        `${one} put a one`,
        `${two} put a two`,
        `${gone} delete a `,
      ]);
      assert.deepEqual(
        watch.events.map((event) => text(event.previous)),
        [undefined, "one", "two"],
      );
      watch.cancel();
      assert.deepEqual([watch.ended, watch.error], [true, undefined]);
    },
  ],
  [
    "a watch from the past repeats history and goes on",
    async (probe) => {
      const one = await probe.put("a", "one");
      const two = await probe.put("a", "two");
      await probe.put("b", "b");
      const watch = probe.watch(two);
      await watch.upTo(two + 1);
      const gone = await probe.remove("b");
      await watch.upTo(gone);
      assert.deepEqual(watch.describe(probe.prefix), [
        `${two} put a two`,
        `${two + 1} put b b`,
        `${gone} delete b `,
      ]);
      assert.equal(watch.events[0]?.previous?.modRevision, one);
      watch.cancel();
    },
  ],
  [
    "a watch from the future skips what lies before it",
    async (probe) => {
      const one = await probe.put("a", "one");
      const watch = probe.watch(one + 2);
      await probe.put("a", "two");
      const three = await probe.put("a", "three");
      await watch.upTo(three);
      assert.deepEqual(watch.describe(probe.prefix), [`${three} put a three`]);
      watch.cancel();
    },
  ],
  [
    "a watch makes progress by what others change",
    async (probe) => {
      const watch = probe.watch();
      await watch.started();
      const other = new Probe(probe.backend);
      const revision = await other.put("elsewhere", "x");
      await watch.upTo(revision);
      assert.deepEqual(watch.events, []);
      watch.cancel();
    },
  ],
  [
    "many concurrent changes: every watch sees all of them once",
    async (probe) => {
      const start = await probe.backend.readRevision();
      const early = probe.watch(start + 1);
      const revisions = await Promise.all(
        Array.from({ length: 200 }, async (_, at) => probe.put(`k${at % 20}`, `${at}`)),
      );
      assert.equal(new Set(revisions).size, 200, "each change has a revision of its own");
      const last = Math.max(...revisions);
      const late = probe.watch(start + 1);
      await early.upTo(last);
      await late.upTo(last);
      assert.equal(early.events.length, 200);
      assert.deepEqual(late.events, early.events);
      early.cancel();
      late.cancel();
    },
  ],
  [
    "of concurrent compare-and-put, one wins each round",
    async (probe) => {
      const key = probe.key("counter");
      let wins = 0;
      const increment = async () => {
        for (let round = 0; round < 10; round++) {
          const kv = await probe.get("counter");
          const number = Number(text(kv) ?? 0);
          const result = await probe.transact({
            compare: [{ key, target: "mod", operator: "=", number: kv?.modRevision ?? 0 }],
            success: [{ type: "put", key, value: encoder.encode(String(number + 1)) }],
          });
          if (result.succeeded) wins++;
        }
      };
      await Promise.all(Array.from({ length: 8 }, increment));
      assert.equal(text(await probe.get("counter")), String(wins));
    },
  ],
  [
    "readRevision covers every acknowledged write",
    async (probe) => {
      const revision = await probe.put("a", "one");
      assert.ok((await probe.backend.readRevision()) >= revision);
    },
  ],
  [
    "compaction forgets the past and nothing else",
    async (probe) => {
      const one = await probe.put("a", "one");
      const two = await probe.put("a", "two");
      await probe.put("gone", "x");
      await probe.remove("gone");
      const last = await probe.put("b", "b");
      await probe.backend.compact(last);
      await assert.rejects(async () => probe.get("a", one), refused("Expired", /has been compacted/));
      assert.equal((await probe.get("a", last))?.modRevision, two);
      assert.deepEqual(probe.names((await probe.list({ revision: last })).kvs), ["a", "b"]);
      await assert.rejects(probe.backend.compact(one), refused("Expired", /has been compacted/));
      await assert.rejects(probe.backend.compact(last + 1_000_000), refused("BadRequest", /future revision/));
      const watch = probe.watch(one);
      await watch.until(() => watch.ended, "the end of the watch");
      refused("Expired", /has been compacted/)(watch.error);
      const next = await probe.put("a", "three");
      const later = probe.watch(next);
      await later.upTo(next);
      assert.deepEqual(later.describe(probe.prefix), [`${next} put a three`]);
      later.cancel();
    },
  ],
  [
    "status and leadership tell who leads",
    async (probe) => {
      const status = await probe.backend.status();
      assert.equal(status.ready, true);
      assert.ok(status.term >= 1 && status.revision >= 1 && status.leaderId !== undefined);
      assert.equal(status.members.filter((member) => member.isLeader).length, 1);
      const leads = await new Promise<boolean>((resolve) => {
        const wanted = status.leaderId === status.memberId;
        const stop = probe.backend.onLeadership(({ leading }) => {
          if (leading !== wanted) return;
          resolve(leading);
          queueMicrotask(() => stop());
        });
      });
      assert.equal(leads, status.leaderId === status.memberId);
    },
  ],
];
