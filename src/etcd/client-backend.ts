/**
 * An existing etcd as a node's datastore. Reads and writes go to the etcd; one watch of everything below the
 * prefix feeds all watches of the node; who leads among the nodes is decided by an election in the etcd,
 * and every fenced write compares it. The leader compacts history as the replica does.
 */
import type {
  Backend,
  BackendStatus,
  KeyValue,
  Leadership,
  MemberStatus,
  Operation,
  RangeRequest,
  RangeResult,
  Transaction,
  TransactionResult,
  Watch,
  WatchRequest,
  WatchSink,
} from "#base/backend.ts";
import { StatusError } from "#base/errors.ts";
import { prefixEnd } from "#base/key-range.ts";
import type { Leases } from "#base/leases.ts";
import type { Logger } from "#base/ports.ts";
import { validateTransaction } from "#base/transaction.ts";
import { WatchHub } from "#base/watch-hub.ts";
import { EtcdConnection } from "./client-connection.ts";
import type { ClientTls } from "./client-connection.ts";
import { Election } from "./client-election.ts";
import type { EtcdHealth } from "./client-health.ts";
import { HealthWatch, versionRefusal } from "./client-health.ts";
import { Feed } from "./client-feed.ts";
import { clientLeases } from "./client-leases.ts";
import type { WireHeader, WireRangeResponse, WireTxnResponse } from "./client-messages.ts";
import { KeySpace } from "./client-messages.ts";
import { watchPast } from "./client-past.ts";
import { fromByteString, toByteString } from "./messages.ts";

export interface ExternalMember {
  /** 16 hex digits. */
  id: string;
  name: string;
  apiAddress: string;
  failureDomain: string;
}

export interface EtcdBackendOptions {
  /** http(s)://HOST:PORT */
  endpoints: string[];
  tls: ClientTls;
  /** Trivet's keys are below this; default "/trivet/". */
  prefix?: string;
  /** Whose keys these are: those of another cluster are left alone. */
  clusterId: string;
  /** This node, as the others see it. */
  member: ExternalMember;
  /** Default 300,000; 0: the etcd's owner compacts. */
  historyMs?: number;
  logger: Logger;
}

const pageKeys = 500;
/** How long a read lets the feed come along by itself before it makes something happen. */
const feedPatienceMs = 100;
const checkMs = 5000;

export class EtcdBackend implements Backend {
  readonly leases: Leases;
  readonly #options: EtcdBackendOptions;
  readonly #connection: EtcdConnection;
  readonly #keys: KeySpace;
  readonly #feed: Feed;
  readonly #hub: WatchHub;
  readonly #election: Election;
  readonly #health: HealthWatch;
  readonly #online = new Map<string, ExternalMember>();
  #members = new Map<string, ExternalMember>();
  /** Newest revision that any answer has named. */
  #newest = 0;
  #touchAsked = false;
  #advancing = false;
  #checkedRevision = 0;
  #past: { revision: number; atMs: number }[] = [];
  readonly #timers: NodeJS.Timeout[] = [];
  #closed = false;

  /** Rejects with a StatusError when the etcd can't be reached or refuses this node. */
  static async open(options: EtcdBackendOptions): Promise<EtcdBackend> {
    const backend = new EtcdBackend(options);
    try {
      await backend.#start();
      return backend;
    } catch (error) {
      await backend.close();
      throw error;
    }
  }

  private constructor(options: EtcdBackendOptions) {
    this.#options = options;
    this.#keys = new KeySpace(options.prefix ?? "/trivet/");
    this.#connection = new EtcdConnection(options.endpoints, options.tls);
    this.#health = new HealthWatch(this.#connection);
    this.leases = clientLeases(this.#connection, this.#keys);
    this.#election = new Election(
      {
        leases: this.leases,
        claim: (name, text, lease) => this.#claim(name, text, lease),
        putNote: (name, text, lease) => this.#putNote(name, text, lease),
      },
      options.member.id,
      JSON.stringify(options.member),
    );
    this.#feed = new Feed(this.#connection, this.#keys, {
      onChanges: (events, revision) => {
        this.#newest = Math.max(this.#newest, revision);
        this.#hub.publish(events, revision);
      },
      onNote: (name, note) => this.#onNote(name, note),
      onLost: (reason) => this.#onFeedLost(reason),
      onSilent: () =>
        this.#hub.fail(new StatusError("ServiceUnavailable", "the external datastore does not answer")),
    });
    this.#hub = new WatchHub(this.#feed, () => this.#advanceSoon());
  }

  async range(request: RangeRequest): Promise<RangeResult> {
    validateTransaction({ compare: [], success: [{ type: "range", request }], failure: [] });
    const { limit = 0 } = request;
    const wanted = limit === 0 ? Infinity : limit;
    const first = await this.#page({ ...request, limit: Math.min(wanted, pageKeys) });
    if (request.countOnly === true || request.end === undefined)
      return { ...first, more: limit > 0 && first.count > limit };
    const { kvs, count, revision } = first;
    let { more } = first;
    while (more && kvs.length < wanted) {
      const last = kvs.at(-1) as KeyValue;
      const page = await this.#page({
        ...request,
        key: `${last.key}\0`,
        limit: Math.min(wanted - kvs.length, pageKeys),
        revision: request.revision === undefined || request.revision === 0 ? revision : request.revision,
      });
      kvs.push(...page.kvs);
      more = page.more;
    }
    return { revision, kvs, count, more };
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    validateTransaction(transaction);
    const { fenceTerm } = transaction;
    const plain = this.#keys.transaction(transaction);
    const request =
      fenceTerm === undefined
        ? plain
        : { compare: [this.#leads(fenceTerm)], success: [{ request_txn: plain }], failure: [] };
    const writes = [...transaction.success, ...transaction.failure].some(changes);
    const answer = await this.#call<WireTxnResponse>("KV", "Txn", request, writes ? "write" : "read");
    if (fenceTerm === undefined) return this.#keys.transactionResult(answer, transaction);
    const inner = answer.responses[0]?.response_txn;
    if (!answer.succeeded || inner === undefined)
      throw new StatusError("Conflict", `fenced: the writer led in term ${fenceTerm}, but leads no more`);
    return this.#keys.transactionResult(inner, transaction, Number(answer.header.revision));
  }

  async readRevision(): Promise<number> {
    const revision = await this.#newestRevision();
    this.#expect(revision);
    return revision;
  }

  watch(request: WatchRequest, sink: WatchSink): Watch {
    if (this.#closed) throw closedError();
    const from = request.fromRevision ?? 0;
    if (from === 0) return this.#hub.watch({ ...request, fromRevision: this.#newest + 1 }, sink);
    if (from >= this.#feed.oldest || from < this.#feed.compactRevision)
      return this.#hub.watch({ ...request, fromRevision: from }, sink);
    return this.#watchPast({ ...request, fromRevision: from }, sink);
  }

  async compact(revision: number): Promise<void> {
    await this.#call("KV", "Compact", { revision, physical: false }, "write");
    this.#feed.compactRevision = Math.max(this.#feed.compactRevision, revision);
  }

  async status(): Promise<BackendStatus> {
    const { member } = this.#options;
    const { holder } = this.#election;
    const seen = await this.#call<{
      header: WireHeader;
      dbSize: string;
      raftIndex: string;
      raftAppliedIndex: string;
    }>("Maintenance", "Status", {}, "read");
    const applied = Number(seen.raftAppliedIndex);
    return {
      ready: holder !== undefined && !this.#closed,
      memberId: member.id,
      leaderId: holder?.id,
      term: holder?.term ?? 0,
      revision: Math.max(Number(seen.header.revision), this.#feed.revision),
      appliedIndex: applied === 0 ? Number(seen.raftIndex) : applied,
      committedIndex: Number(seen.raftIndex),
      compactRevision: this.#feed.compactRevision,
      databaseBytes: Number(seen.dbSize),
      members: this.#memberStatus(holder?.id),
    };
  }

  onLeadership(callback: (leadership: Leadership) => void): () => void {
    return this.#election.watch(callback);
  }

  /** How the etcd's own members are, as they were asked last. */
  get health(): EtcdHealth {
    return this.#health.health;
  }

  /** Gives leadership back; another node, if there is one, takes it. */
  resign(): Promise<void> {
    return this.#election.resign();
  }

  /** Takes a member out of the list of those that share the etcd. */
  async forget(id: string): Promise<void> {
    await this.#call("KV", "DeleteRange", { key: fromByteString(this.#keys.note(`members/${id}`)) }, "write");
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#feed.close();
    this.#health.close();
    this.#hub.fail(closedError());
    await this.#election.close();
    this.#connection.close();
  }

  async #start(): Promise<void> {
    const { member, clusterId } = this.#options;
    const { version } = await this.#connection.call<{ version: string }>("Maintenance", "Status", {}, "read");
    const refusal = versionRefusal(version);
    if (refusal !== undefined) throw new StatusError("NotImplemented", refusal);
    const owner = await this.#claim("cluster", clusterId, "0");
    if (owner.text !== clusterId)
      throw new StatusError(
        "Conflict",
        `the external datastore has another cluster's keys below ${this.#keys.prefix}: use another prefix`,
      );
    await this.#putNote(`members/${member.id}`, JSON.stringify(member));
    await this.#load();
    await this.#health.start();
    this.#election.start();
    const check = setInterval(() => void this.#check(), checkMs);
    this.#timers.push(check);
  }

  /** The notes as they are, and the feed from there on. */
  async #load(): Promise<void> {
    const prefix = this.#keys.note("");
    const answer = await this.#call<WireRangeResponse>(
      "KV",
      "Range",
      { key: fromByteString(prefix), range_end: fromByteString(prefixEnd(prefix)) },
      "read",
    );
    this.#members = new Map();
    this.#online.clear();
    let leader: { text: string; createRevision: number } | undefined;
    for (const kv of answer.kvs) {
      const name = toByteString(kv.key).slice(prefix.length);
      const note = { text: kv.value.toString("utf8"), createRevision: Number(kv.create_revision) };
      if (name === "leader") leader = note;
      else this.#onNote(name, note);
    }
    this.#election.onLeaderNote(leader);
    this.#feed.start(Number(answer.header.revision));
  }

  #onNote(name: string, note: { text: string; createRevision: number } | undefined): void {
    const [kind, id = ""] = name.split("/");
    if (kind === "leader") this.#election.onLeaderNote(note);
    const list = kind === "members" ? this.#members : kind === "online" ? this.#online : undefined;
    if (note === undefined) list?.delete(id);
    else list?.set(id, JSON.parse(note.text) as ExternalMember);
  }

  #onFeedLost(reason: string): void {
    this.#hub.fail(
      new StatusError(
        "ServiceUnavailable",
        `the feed of the external datastore broke: ${reason}: watch again`,
      ),
    );
    const again = (): void => {
      if (!this.#closed)
        this.#load().catch((error: unknown) => {
          this.#options.logger.warn("the external datastore can't be read", { error: String(error) });
          setTimeout(again, 1000);
        });
    };
    again();
  }

  #watchPast(request: WatchRequest & { fromRevision: number }, sink: WatchSink): Watch {
    let watch: Watch | undefined;
    let cancelled = false;
    const begin = (upTo: number): void => {
      if (cancelled) return;
      watch = watchPast(
        {
          connection: this.#connection,
          keys: this.#keys,
          request,
          upTo,
          join: (next) =>
            next >= this.#feed.oldest
              ? this.#hub.watch({ ...request, fromRevision: next }, sink)
              : { upTo: this.#feed.revision },
        },
        sink,
      );
    };
    // Something has to happen behind the history, to know its end by.
    this.#touch().then(begin, (error: unknown) => {
      if (!cancelled) sink.onEnd(error as Error);
      cancelled = true;
    });
    return {
      cancel: () => {
        if (watch !== undefined) watch.cancel();
        else if (!cancelled) sink.onEnd(undefined);
        cancelled = true;
      },
    };
  }

  /** Another's writes move the revision past what this node's feed can see: then a write of our own shows it. */
  #expect(revision: number): void {
    if (this.#feed.revision >= revision || this.#touchAsked) return;
    this.#touchAsked = true;
    const timer = setTimeout(() => {
      const needed = this.#feed.revision < revision && !this.#closed;
      // What fails is asked for again by the next read.
      const touched = needed ? this.#touch().catch(() => undefined) : Promise.resolve();
      void touched.then(() => (this.#touchAsked = false));
    }, feedPatienceMs);
    timer.unref();
  }

  /** Writes a note for the sake of its revision, which it returns. */
  async #touch(): Promise<number> {
    const { header } = await this.#call<{ header: WireHeader }>(
      "KV",
      "Put",
      { key: fromByteString(this.#keys.note("touched")), value: Buffer.from(this.#options.member.id) },
      "write",
    );
    return Number(header.revision);
  }

  /** Now and then: a feed that stands still while the revision goes on is begun anew; the leader compacts. */
  async #check(): Promise<void> {
    try {
      const revision = await this.readRevision();
      if (this.#feed.revision < this.#checkedRevision) this.#feed.restart();
      this.#checkedRevision = revision;
      await this.#compactHistory(revision);
    } catch (error) {
      this.#options.logger.debug("the external datastore was not checked", { error: String(error) });
    }
  }

  async #compactHistory(revision: number): Promise<void> {
    const { historyMs = 300_000 } = this.#options;
    if (!this.#election.leadership.leading || historyMs === 0) {
      this.#past = [];
      return;
    }
    const now = performance.now();
    const newest = this.#past.at(-1);
    if (newest === undefined || now - newest.atMs > historyMs / 10) this.#past.push({ revision, atMs: now });
    const due = this.#past.findLast(({ atMs }) => now - atMs >= historyMs);
    if (due === undefined || due.revision <= this.#feed.compactRevision) return;
    this.#past = this.#past.filter(({ atMs }) => atMs > due.atMs);
    await this.compact(due.revision).catch((error: unknown) => {
      // Another has compacted further, which is just as well.
      if (!(error instanceof StatusError && error.reason === "Expired")) throw error;
    });
  }

  async #page(request: RangeRequest): Promise<RangeResult> {
    const wire = this.#keys.rangeRequest(request);
    return this.#keys.rangeResult(await this.#call<WireRangeResponse>("KV", "Range", wire, "read"), request);
  }

  async #newestRevision(): Promise<number> {
    const key = fromByteString(this.#keys.note("touched"));
    const answer = await this.#call<WireRangeResponse>("KV", "Range", { key, count_only: true }, "read");
    return Number(answer.header.revision);
  }

  async #call<T extends { header: WireHeader }>(
    service: "KV" | "Maintenance",
    method: string,
    request: object,
    kind: "read" | "write",
  ): Promise<T> {
    const answer = await this.#connection.call<T>(service, method, request, kind);
    this.#newest = Math.max(this.#newest, Number(answer.header.revision));
    return answer;
  }

  async #claim(name: string, text: string, lease: string): Promise<{ text: string; createRevision: number }> {
    const key = fromByteString(this.#keys.note(name));
    const range = { request_range: { key } };
    const { responses } = await this.#call<WireTxnResponse>(
      "KV",
      "Txn",
      {
        compare: [{ key, target: "CREATE", result: "EQUAL", create_revision: 0 }],
        success: [{ request_put: { key, value: Buffer.from(text), lease } }, range],
        failure: [range],
      },
      "write",
    );
    const [kv] = responses.at(-1)?.response_range?.kvs ?? [];
    if (kv === undefined) throw new StatusError("ServiceUnavailable", "a claimed note is not there");
    return { text: kv.value.toString("utf8"), createRevision: Number(kv.create_revision) };
  }

  async #putNote(name: string, text: string, lease = "0"): Promise<void> {
    const key = fromByteString(this.#keys.note(name));
    await this.#call("KV", "Put", { key, value: Buffer.from(text), lease }, "write");
  }

  #leads(term: number): object {
    const key = fromByteString(this.#keys.note("leader"));
    return { key, target: "CREATE", result: "EQUAL", create_revision: term };
  }

  #memberStatus(leader: string | undefined): MemberStatus[] {
    return [...this.#members.values()].map(({ id, name, apiAddress, failureDomain }) => ({
      id,
      name,
      address: "",
      // It holds no copy: the etcd does.
      role: "spare",
      online: this.#online.has(id) || id === this.#options.member.id,
      lagEntries: -1,
      failureDomain,
      isLeader: id === leader,
      apiAddress,
    }));
  }

  #advanceSoon(): void {
    if (this.#advancing) return;
    this.#advancing = true;
    setImmediate(() => {
      this.#advancing = false;
      if (!this.#closed && this.#hub.advance()) this.#advanceSoon();
    });
  }
}

function changes(operation: Operation): boolean {
  if (operation.type === "txn") return [...operation.txn.success, ...operation.txn.failure].some(changes);
  return operation.type !== "range";
}

function closedError(): StatusError {
  return new StatusError("ServiceUnavailable", "the datastore has been closed");
}
