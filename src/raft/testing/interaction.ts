/**
 * An interaction environment: several members, a network that delivers when told to, storage that works
 * when told to, driven by the commands of data-driven transcripts.
 */

import { assert } from "#base/assert.ts";
import { RawNode } from "../raw-node.ts";
import { ProposalDroppedError, localAppendThread, localApplyThread } from "../types.ts";
import type { ConfChange, ConfState, Entry, Message, NodeId, RaftConfig, Snapshot } from "../types.ts";
import type { Directive } from "./datadriven.ts";
import { emptyConfState, MemoryStorage } from "./memory-storage.ts";
import { testConfig } from "./test-config.ts";
import {
  describeEntry,
  describeMessage,
  describeProgress,
  describeReady,
  firstVersionContext,
  parseChanges,
  roleNames,
} from "./transcript.ts";

interface Member {
  id: NodeId;
  node: RawNode;
  storage: MemoryStorage;
  appendWork: Message[];
  applyWork: Message[];
}

export class Interaction {
  #members: Member[] = [];
  #network: Message[] = [];
  #output: string[] = [];
  #indent = "";
  #isQuiet = false;
  /** The last traced line: how a refused message is noticed. */
  #lastTrace = "";

  /** Runs one command. Returns what a transcript shows for it, without log lines. */
  run(directive: Directive): string {
    this.#output = [];
    try {
      this.#execute(directive);
    } catch (error) {
      if (!(error instanceof ProposalDroppedError)) throw error;
      this.#output.push("raft proposal dropped");
      return this.#output.join("\n");
    }
    return this.#isQuiet ? "" : this.#output.join("\n");
  }

  #execute({ command, positional, options, input }: Directive): void {
    const ids = positional.map(Number);
    const id = ids[0] ?? 0;
    switch (command) {
      case "log-level":
        this.#isQuiet = positional[0] === "none";
        break;
      case "add-nodes":
        this.#addMembers(id, options);
        break;
      case "campaign":
        this.#member(id).node.campaign();
        break;
      case "compact":
        this.#member(id).storage.compact(ids[1] ?? 0);
        this.#printLog(id);
        break;
      case "deliver-msgs":
        this.#deliverCommand(ids, (options.get("drop") ?? []).map(Number));
        break;
      case "forget-leader":
        this.#member(id).node.forgetLeader();
        break;
      case "process-ready":
        this.#forEach(ids, "handling Ready", (member) => this.#processReady(member));
        break;
      case "process-append-thread":
        this.#forEach(ids, "processing append thread", (member) => this.#processAppend(member));
        break;
      case "process-apply-thread":
        this.#forEach(ids, "processing apply thread", (member) => this.#processApply(member));
        break;
      case "propose":
        this.#member(id).node.propose(new TextEncoder().encode(positional[1]));
        break;
      case "propose-conf-change":
        this.#proposeConfChange(id, options, input);
        break;
      case "raft-log":
        this.#printLog(id);
        break;
      case "raft-state":
        this.#printStates();
        break;
      case "report-unreachable":
        this.#member(id).node.reportUnreachable(ids[1] ?? 0);
        break;
      case "set-randomized-election-timeout":
        this.#member(id).node.raft.randomizedElectionTicks = Number(options.get("timeout")?.[0]);
        break;
      case "stabilize":
        this.#stabilizeCommand(ids, options);
        break;
      case "status":
        this.#print(describeProgress(this.#member(id).node.raft.tracker.progress).trimEnd());
        break;
      case "tick-election":
        this.#tick(id, this.#member(id).node.raft.config.electionTicks);
        break;
      case "tick-heartbeat":
        this.#tick(id, this.#member(id).node.raft.config.heartbeatTicks);
        break;
      case "transfer-leadership":
        this.#member(Number(options.get("from")?.[0])).node.transferLeadership(
          Number(options.get("to")?.[0]),
        );
        break;
      default:
        throw new Error(`unknown command ${command}`);
    }
  }

  #member(id: NodeId): Member {
    const member = this.#members[id - 1];
    assert(member !== undefined, "the member has been added");
    return member;
  }

  #print(text: string): void {
    if (text === "") return;
    for (const line of text.split("\n")) this.#output.push(this.#indent + line);
  }

  #indented(action: () => void): void {
    const outer = this.#indent;
    this.#indent = `${outer}  `;
    action();
    this.#indent = outer;
  }

  #forEach(ids: NodeId[], title: string, action: (member: Member) => void): void {
    for (const id of ids) {
      if (ids.length === 1) {
        action(this.#member(id));
        continue;
      }
      this.#print(`> ${id} ${title}`);
      this.#indented(() => action(this.#member(id)));
    }
  }

  #addMembers(count: number, options: Map<string, string[]>): void {
    const flag = (name: string): boolean => options.get(name)?.[0] === "true";
    const confState: ConfState = {
      ...emptyConfState,
      voters: (options.get("voters") ?? []).map(Number),
      learners: (options.get("learners") ?? []).map(Number),
    };
    const index = Number(options.get("index")?.[0] ?? 0);
    for (let added = 0; added < count; added++) {
      const id = this.#members.length + 1;
      const storage = new MemoryStorage();
      if (index > 0) storage.restore({ metadata: { index, term: 1, confState }, token: "" });
      const maxCommitted = options.get("max-committed-size-per-ready")?.[0];
      const overrides: Partial<RaftConfig> = {
        applied: index,
        asyncStorageWrites: flag("async-storage-writes"),
        preVote: flag("prevote"),
        checkQuorum: flag("checkquorum"),
        stepDownOnRemoval: flag("step-down-on-removal"),
        disableConfChangeValidation: flag("disable-conf-change-validation"),
        readOnlyOption: options.get("read-only")?.[0] === "lease-based" ? "lease" : "safe",
        ...(maxCommitted === undefined ? {} : { maxCommittedSizePerReadyBytes: Number(maxCommitted) }),
        trace: (line) => (this.#lastTrace = line),
      };
      const node = new RawNode(testConfig(id, storage, overrides));
      this.#members.push({ id, node, storage, appendWork: [], applyWork: [] });
    }
  }

  #proposeConfChange(id: NodeId, options: Map<string, string[]>, input: string[]): void {
    const transition = options.get("transition")?.[0] ?? "auto";
    assert(
      transition === "auto" || transition === "implicit" || transition === "explicit",
      "the transition has a known name",
    );
    const context = options.get("v1")?.[0] === "true" ? firstVersionContext : new Uint8Array(0);
    const changes = parseChanges(input.join(" "));
    const confChange: ConfChange = { transition, changes, context };
    const entry: Entry = { index: 0, term: 0, type: "confChange", data: new Uint8Array(0), confChange };
    // Not by `proposeConfChange`, which tells a leader's own application of a refusal before anything is appended.
    this.#member(id).node.raft.step({ type: "propose", to: id, from: id, entries: [entry] });
  }

  #tick(id: NodeId, count: number): void {
    for (let tick = 0; tick < count; tick++) this.#member(id).node.tick();
  }

  #stabilizeCommand(ids: NodeId[], options: Map<string, string[]>): void {
    const wasQuiet = this.#isQuiet;
    this.#stabilize(ids.length === 0 ? this.#members : ids.map((id) => this.#member(id)));
    if (options.get("log-level")?.[0] === "none") this.#output = [];
    this.#isQuiet = wasQuiet;
  }

  #stabilize(members: Member[]): void {
    for (let isDone = false; !isDone;) {
      isDone = true;
      const doing = (member: Member, title: string, action: () => void): void => {
        isDone = false;
        this.#print(`> ${member.id} ${title}`);
        this.#indented(action);
      };
      for (const member of members) {
        if (member.node.hasReady()) doing(member, "handling Ready", () => this.#processReady(member));
      }
      for (const member of members) {
        if (this.#network.some((message) => message.to === member.id)) {
          doing(member, "receiving messages", () => this.#deliver(member.id));
        }
      }
      for (const member of members) {
        if (member.appendWork.length === 0) continue;
        doing(member, "processing append thread", () => {
          while (member.appendWork.length > 0) this.#processAppend(member);
        });
      }
      for (const member of members) {
        if (member.applyWork.length === 0) continue;
        doing(member, "processing apply thread", () => {
          while (member.applyWork.length > 0) this.#processApply(member);
        });
      }
    }
  }

  #deliverCommand(ids: NodeId[], dropped: NodeId[]): void {
    let delivered = 0;
    for (const id of ids) delivered += this.#deliver(id);
    for (const id of dropped) {
      for (const message of this.#take(id)) this.#print(`dropped: ${describeMessage(message)}`);
    }
    if (delivered === 0 && dropped.length === 0) this.#print("no messages");
  }

  #take(id: NodeId): Message[] {
    const messages = this.#network.filter((message) => message.to === id);
    this.#network = this.#network.filter((message) => message.to !== id);
    return messages;
  }

  #deliver(id: NodeId): number {
    const messages = this.#take(id);
    for (const message of messages) {
      this.#print(describeMessage(message));
      this.#lastTrace = "";
      this.#member(id).node.step(message);
      if (this.#lastTrace.endsWith("not a member")) this.#print("raft: cannot step as peer not found");
    }
    return messages.length;
  }

  #processReady(member: Member): void {
    const ready = member.node.ready();
    this.#print(describeReady(ready));
    const isAsync = member.node.raft.config.asyncStorageWrites;
    if (!isAsync) {
      persist(member, ready.hardState, ready.entries, ready.snapshot);
      apply(member, ready.committedEntries);
    }
    for (const message of ready.messages) {
      if (message.to === localAppendThread) member.appendWork.push(message);
      else if (message.to === localApplyThread) member.applyWork.push(message);
      else this.#network.push(message);
    }
    if (!isAsync) member.node.advance();
  }

  #processAppend(member: Member): void {
    const work = member.appendWork.shift();
    if (work === undefined) {
      this.#print("no append work to perform");
      return;
    }
    const { term, vote = 0, commit = 0 } = work;
    persist(
      member,
      term === undefined ? undefined : { term, vote, commit },
      work.entries ?? [],
      work.snapshot,
    );
    this.#finishWork(work);
  }

  #processApply(member: Member): void {
    const work = member.applyWork.shift();
    if (work === undefined) {
      this.#print("no apply work to perform");
      return;
    }
    apply(member, work.entries ?? []);
    this.#finishWork(work);
  }

  #finishWork({ responses = [], ...work }: Message): void {
    const lines = responses.map((response) => describeMessage(response));
    this.#print(["Processing:", describeMessage(work), "Responses:", ...lines].join("\n"));
    this.#network.push(...responses);
  }

  #printLog(id: NodeId): void {
    const { storage } = this.#member(id);
    const first = storage.firstIndex();
    const last = storage.lastIndex();
    if (first > last) this.#print(`log is empty: first index=${first}, last index=${last}`);
    else
      this.#print(
        storage
          .entries(first, last + 1, Infinity)
          .map(describeEntry)
          .join("\n"),
      );
  }

  #printStates(): void {
    for (const { id, node } of this.#members) {
      const { softState, hardState } = node.status();
      const kind = node.raft.tracker.isVoter(id) ? "Voter" : "Non-Voter";
      this.#print(
        `${id}: ${roleNames[softState.role]} (${kind}) Term:${hardState.term} Lead:${softState.leader}`,
      );
    }
  }
}

function persist(
  { storage }: Member,
  hardState: MemoryStorage["hardState"] | undefined,
  entries: Entry[],
  snapshot: Snapshot | undefined,
): void {
  if (hardState !== undefined) storage.hardState = hardState;
  if (snapshot !== undefined) storage.restore(snapshot);
  storage.append(entries);
}

function apply({ node, storage }: Member, entries: Entry[]): void {
  for (const { index, term, confChange } of entries) {
    if (confChange !== undefined) storage.confState = node.applyConfChange(confChange);
    storage.sendableSnapshot = { metadata: { index, term, confState: storage.confState }, token: "" };
  }
}
