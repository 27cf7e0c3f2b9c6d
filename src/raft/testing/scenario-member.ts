/**
 * One member of a scenario: the core, a disk that keeps what was flushed, and the state that applying has
 * led to. A crash loses all but the disk and the newest checkpoint of the state.
 */

import { assert } from "#base/assert.ts";
import { RawNode } from "../raw-node.ts";
import { SnapshotTemporarilyUnavailableError, localAppendThread, localApplyThread } from "../types.ts";
import type { ConfState, Message, NodeId, RaftConfig, RaftStorage, ReadState, Snapshot } from "../types.ts";
import { emptyConfState, MemoryStorage } from "./memory-storage.ts";
import { testConfig } from "./test-config.ts";

/** What a member has come to by applying its log. Never changed: each applied entry makes a new one. */
export interface AppliedState {
  index: number;
  term: number;
  confState: ConfState;
  /** The texts of the proposals that were applied, in order. */
  texts: readonly string[];
}

interface MemberOptions {
  id: NodeId;
  /** The state the cluster begins with; an empty one for a member that joins later. */
  state: AppliedState;
  config: Partial<RaftConfig>;
  /** States that snapshots stand for, by token: shared by all members. */
  states: Map<string, AppliedState>;
  report(line: string): void;
}

export class ScenarioMember {
  readonly id: NodeId;
  readonly storage = new MemoryStorage();
  /** Undefined while it is crashed. */
  node: RawNode | undefined;
  state: AppliedState;
  /** What survives a crash. */
  checkpoint: AppliedState;
  reads: ReadState[] = [];
  /** Nothing reaches the disk while true. */
  isDiskStalled = false;
  isApplyStalled = false;
  canMakeSnapshots = true;
  #appends: Message[] = [];
  #applies: Message[] = [];
  readonly #options: MemberOptions;

  constructor(options: MemberOptions) {
    this.id = options.id;
    this.#options = options;
    this.state = options.state;
    this.checkpoint = this.state;
    const { index, term, confState } = this.state;
    if (index > 0) {
      this.storage.restore({ metadata: { index, term, confState }, token: "" });
      this.storage.hardState = { term, vote: 0, commit: index };
    }
    this.start();
  }

  get running(): RawNode {
    assert(this.node !== undefined, `member ${this.id} runs`);
    return this.node;
  }

  start(): void {
    assert(this.node === undefined, "a member that runs is not started");
    this.state = this.checkpoint;
    this.storage.confState = this.checkpoint.confState;
    const config: Partial<RaftConfig> = {
      applied: this.checkpoint.index,
      asyncStorageWrites: true,
      electionTicks: 10,
      preVote: true,
      checkQuorum: true,
      stepDownOnRemoval: true,
      // Different for each member and always the same, so that a scenario goes the same way each time.
      randomInteger: (bound) => (this.id * 3) % bound,
      trace: (line) => this.#options.report(line),
      ...this.#options.config,
    };
    this.node = new RawNode(testConfig(this.id, this.#snapshottingStorage(), config));
  }

  crash(): void {
    this.node = undefined;
    this.#appends = [];
    this.#applies = [];
    this.reads = [];
    this.isDiskStalled = false;
    this.isApplyStalled = false;
  }

  /** Makes the state durable and drops the log up to `index`. */
  compact(index: number): void {
    assert(index <= this.state.index, "only what is applied is compacted");
    this.checkpoint = this.state;
    this.storage.compact(index);
  }

  /**
   * Does one thing: takes a Ready, or writes to the disk, or applies. Returns the messages for others,
   * undefined if there is nothing to do.
   */
  work(): Message[] | undefined {
    const { node } = this;
    if (node === undefined) return undefined;
    if (node.hasReady()) return this.#takeReady(node);
    const isWriting = !this.isDiskStalled && this.#appends.length > 0;
    if (!isWriting && (this.isApplyStalled || this.#applies.length === 0)) return undefined;
    const responses = isWriting ? this.#persist(this.#appends.shift()) : this.#apply(this.#applies.shift());
    for (const response of responses) if (response.to === this.id) node.step(response);
    return responses.filter(({ to }) => to !== this.id);
  }

  #takeReady(node: RawNode): Message[] {
    const { readStates, messages } = node.ready();
    this.reads.push(...readStates);
    for (const { context, index } of readStates) {
      this.#options.report(`${this.id} may answer read ${context} at ${index}`);
    }
    this.#appends.push(...messages.filter(({ to }) => to === localAppendThread));
    this.#applies.push(...messages.filter(({ to }) => to === localApplyThread));
    return messages.filter(({ to }) => to !== localAppendThread && to !== localApplyThread);
  }

  #persist(work: Message | undefined): Message[] {
    if (work === undefined) return [];
    const { term, vote = 0, commit = 0, snapshot } = work;
    if (term !== undefined) this.storage.hardState = { term, vote, commit };
    if (snapshot !== undefined) {
      const state = this.#options.states.get(snapshot.token);
      assert(state !== undefined, "a snapshot stands for a state");
      this.storage.restore(snapshot);
      this.state = state;
      this.checkpoint = state;
      this.#options.report(`${this.id} takes over the state at ${state.index}`);
    }
    this.storage.append(work.entries ?? []);
    return work.responses ?? [];
  }

  #apply(work: Message | undefined): Message[] {
    for (const { index, term, data, confChange } of work?.entries ?? []) {
      assert(index === this.state.index + 1, "entries are applied in order, once");
      const text = new TextDecoder().decode(data);
      const texts = text === "" ? this.state.texts : [...this.state.texts, text];
      if (text !== "") this.#options.report(`${this.id} applies ${index} "${text}"`);
      let { confState } = this.state;
      if (confChange !== undefined) confState = this.running.applyConfChange(confChange);
      this.state = { index, term, confState, texts };
    }
    return work?.responses ?? [];
  }

  /** The disk; a snapshot is made of the present state whenever one is asked for. */
  #snapshottingStorage(): RaftStorage {
    const { storage } = this;
    return {
      initialState: () => storage.initialState(),
      entries: (low, high, maxBytes) => storage.entries(low, high, maxBytes),
      term: (index) => storage.term(index),
      firstIndex: () => storage.firstIndex(),
      lastIndex: () => storage.lastIndex(),
      snapshot: () => {
        if (!this.canMakeSnapshots) throw new SnapshotTemporarilyUnavailableError("none can be made now");
        return this.#makeSnapshot();
      },
    };
  }

  #makeSnapshot(): Snapshot {
    const { index, term, confState } = this.state;
    const token = `${this.id}/${index}`;
    this.#options.states.set(token, this.state);
    return { metadata: { index, term, confState }, token };
  }
}

/** What a cluster begins with. Index 0 means without a snapshot, which members that join later would need. */
export function initialState(index: number, voters: NodeId[], learners: NodeId[]): AppliedState {
  return { index, term: index, confState: { ...emptyConfState, voters, learners }, texts: [] };
}
