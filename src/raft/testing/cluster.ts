/**
 * A few members with asynchronous storage, a network with links that can be cut, and storage that can be
 * held back: for tests of single rules. Delivery is immediate and in order.
 */

import { assert } from "#base/assert.ts";
import { RawNode } from "../raw-node.ts";
import { localAppendThread, localApplyThread } from "../types.ts";
import type { Entry, Message, NodeId, RaftConfig, ReadState } from "../types.ts";
import { emptyConfState, MemoryStorage } from "./memory-storage.ts";
import { testConfig } from "./test-config.ts";

export interface TestMember {
  node: RawNode;
  storage: MemoryStorage;
  applied: Entry[];
  reads: ReadState[];
  /** Storage work is kept in `pendingAppends` while true. */
  holdsAppends: boolean;
  pendingAppends: Message[];
}

export class TestCluster {
  readonly members = new Map<NodeId, TestMember>();
  /** Every message that was sent between members, in order. */
  readonly sent: Message[] = [];
  /** Says whether a message arrives. */
  delivers: (message: Message) => boolean = () => true;

  constructor(voters: NodeId[], options: { learners?: NodeId[]; config?: Partial<RaftConfig> } = {}) {
    const confState = { ...emptyConfState, voters, learners: options.learners ?? [] };
    for (const id of [...voters, ...confState.learners]) {
      const storage = new MemoryStorage();
      storage.confState = confState;
      const config = testConfig(id, storage, {
        asyncStorageWrites: true,
        electionTicks: 10,
        // Different for each member, so that elections end without luck.
        randomInteger: (bound) => (id * 3) % bound,
        ...options.config,
      });
      const node = new RawNode(config);
      this.members.set(id, {
        node,
        storage,
        applied: [],
        reads: [],
        holdsAppends: false,
        pendingAppends: [],
      });
    }
  }

  get(id: NodeId): TestMember {
    const member = this.members.get(id);
    assert(member !== undefined, "the member exists");
    return member;
  }

  leaders(): NodeId[] {
    return [...this.members].filter(([, { node }]) => node.raft.role === "leader").map(([id]) => id);
  }

  /** Elects `id`, and lets everything settle. */
  elect(id: NodeId): TestMember {
    this.get(id).node.campaign();
    this.settle();
    assert(this.get(id).node.raft.role === "leader", "the member was elected");
    return this.get(id);
  }

  /** Ticks all members `count` times, and lets everything settle after each tick. */
  tick(count: number): void {
    for (let tick = 0; tick < count; tick++) {
      for (const { node } of this.members.values()) node.tick();
      this.settle();
    }
  }

  /** Until nobody has anything to do. */
  settle(): void {
    for (let isBusy = true; isBusy;) {
      isBusy = false;
      for (const member of this.members.values()) {
        if (!member.holdsAppends && member.pendingAppends.length > 0) this.#persist(member);
        while (member.node.hasReady()) {
          isBusy = true;
          this.#handleReady(member);
        }
      }
    }
  }

  #handleReady(member: TestMember): void {
    const ready = member.node.ready();
    member.reads.push(...ready.readStates);
    for (const message of ready.messages) {
      if (message.to === localAppendThread) {
        member.pendingAppends.push(message);
        if (!member.holdsAppends) this.#persist(member);
      } else if (message.to === localApplyThread) {
        this.#apply(member, message);
      } else {
        this.#send(message);
      }
    }
  }

  #persist(member: TestMember): void {
    for (const work of member.pendingAppends.splice(0)) {
      const { term, vote = 0, commit = 0 } = work;
      if (term !== undefined) member.storage.hardState = { term, vote, commit };
      if (work.snapshot !== undefined) member.storage.restore(work.snapshot);
      member.storage.append(work.entries ?? []);
      for (const response of work.responses ?? []) this.#send(response);
    }
  }

  #apply(member: TestMember, work: Message): void {
    for (const entry of work.entries ?? []) {
      member.applied.push(entry);
      if (entry.confChange !== undefined) {
        member.storage.confState = member.node.applyConfChange(entry.confChange);
      }
    }
    for (const response of work.responses ?? []) this.#send(response);
  }

  #send(message: Message): void {
    const isLocal = message.from === message.to || message.from < 0;
    if (!isLocal) this.sent.push(message);
    if (isLocal || this.delivers(message)) this.members.get(message.to)?.node.step(message);
  }
}
