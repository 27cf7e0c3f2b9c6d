/**
 * Plays scenarios that are written as text: a line is a command, and what it leads to is told line by line
 * in the order in which it happens. After each command everything goes on until nobody has anything to do;
 * what is to stay undone has to be cut, held or stalled before. Expectations are in `scenario-expectations.ts`.
 *
 *     members 1 2 3 [learners 4] [joining 5] [option=value ...]
 *     elect N | campaign N | tick COUNT [N ...] | transfer N to M | forget-leader N
 *     propose N TEXT | change N +4 ~3 -2 [explicit|implicit] | leave N | read N ID
 *     cut 1-2 1>3 ... | mend 1-2 ... | isolate N | partition 1 2 / 3 4 5 | lose KIND | heal
 *     hold 1>2 ... | release [once|reversed]     once: goes on holding what comes then
 *     stall N | flush N | stall-apply N | apply N | crash N | restart N | compact N INDEX
 *     snapshots N on|off | lost-contact N M | snapshot-failed N M | status
 *     quietly COMMAND      tells of nothing but new leaders
 *     refused COMMAND      must be refused, and tells why
 */

import { assert } from "#base/assert.ts";
import { ProposalDroppedError } from "../types.ts";
import type { Message, MessageType, NodeId, RaftConfig } from "../types.ts";
import { validateMessage } from "../validate.ts";
import { expectThat } from "./scenario-expectations.ts";
import { ScenarioInvariants } from "./scenario-invariants.ts";
import { initialState, ScenarioMember } from "./scenario-member.ts";
import type { AppliedState } from "./scenario-member.ts";
import { ScenarioNetwork } from "./scenario-network.ts";
import type { Fate } from "./scenario-network.ts";
import { isSmallTalk, noteMember, noteMessage, parseChange } from "./scenario-notation.ts";

/** Far more than any scenario needs: whoever does not come to rest has a livelock. */
const maxDeliveries = 50_000;

export class Scenario {
  readonly members = new Map<NodeId, ScenarioMember>();
  readonly #network = new ScenarioNetwork();
  readonly #invariants = new ScenarioInvariants(this.members);
  readonly #states = new Map<string, AppliedState>();
  #told: string[] = [];
  #isQuiet = false;

  /** Runs one line. Returns what it led to. Throws AssertionError for what must not be. */
  run(line: string): string[] {
    this.#told = [];
    const [first = "", ...rest] = line.split(" ");
    this.#isQuiet = first === "quietly";
    if (first === "refused") this.#mustBeRefused(rest.join(" "));
    else if (first === "expect") expectThat(this.members, rest);
    else this.#execute(this.#isQuiet ? rest : [first, ...rest]);
    this.#settle();
    return this.#told;
  }

  member(word: string | undefined): ScenarioMember {
    const member = this.members.get(Number(word));
    assert(member !== undefined, `there is a member ${word}`);
    return member;
  }

  #mustBeRefused(line: string): void {
    let reason: string | undefined;
    try {
      this.#execute(line.split(" "));
    } catch (error) {
      if (!(error instanceof ProposalDroppedError)) throw error;
      reason = error.message;
    }
    assert(reason !== undefined, `"${line}" is refused`);
    this.#tell(`refused: ${reason}`);
  }

  #execute([command = "", ...words]: string[]): void {
    if (command === "members") return this.#begin(words);
    if (this.#tamperWithNetwork(command, words) || this.#tamperWithMachine(command, words)) return undefined;
    if (command === "status") {
      for (const each of this.members.values()) for (const line of noteMember(each)) this.#tell(line);
      return undefined;
    }
    if (command === "tick") return this.#tick(words);
    const { running: node } = this.member(words[0]);
    switch (command) {
      case "elect":
        node.campaign();
        this.#settle();
        assert(node.raft.role === "leader", `${words[0]} is elected`);
        break;
      case "campaign":
        node.campaign();
        break;
      case "propose":
        node.propose(new TextEncoder().encode(words[1]));
        break;
      case "change":
        node.proposeConfChange(parseChange(words.slice(1)));
        break;
      case "leave":
        node.proposeConfChange(parseChange([]));
        break;
      case "read":
        node.readIndex(words[1] ?? "");
        break;
      case "transfer":
        node.transferLeadership(Number(words[2]));
        break;
      case "forget-leader":
        node.forgetLeader();
        break;
      case "lost-contact":
        node.reportUnreachable(Number(words[1]));
        break;
      case "snapshot-failed":
        node.reportSnapshot(Number(words[1]), false);
        break;
      default:
        throw new Error(`unknown command ${command}`);
    }
    return undefined;
  }

  #begin(words: string[]): void {
    const options = words.filter((word) => word.includes("="));
    const lists: Record<string, NodeId[]> = { voters: [], learners: [], joining: [] };
    let list = lists["voters"];
    for (const word of words.filter((each) => !each.includes("="))) {
      if (word in lists) list = lists[word];
      else list?.push(Number(word));
    }
    const { voters = [], learners = [], joining = [] } = lists;
    // Who joins learns from a snapshot who the others are, so there must be one.
    const initial = initialState(joining.length > 0 ? 1 : 0, voters, learners);
    for (const id of [...voters, ...learners, ...joining]) {
      const state = joining.includes(id) ? initialState(0, [], []) : initial;
      const report = (line: string): void => this.#tell(line);
      const config = parseConfig(options);
      this.members.set(id, new ScenarioMember({ id, state, config, states: this.#states, report }));
    }
    // How the configuration is read at the start is no part of the story.
    this.#told = [];
  }

  #tick([count, ...ids]: string[]): void {
    const members = ids.length === 0 ? [...this.members.values()] : ids.map((id) => this.member(id));
    for (let tick = 0; tick < Number(count); tick++) {
      for (const { node } of members) node?.tick();
      this.#settle();
    }
  }

  #tamperWithNetwork(command: string, words: string[]): boolean {
    const others = (id: NodeId): NodeId[] => [...this.members.keys()].filter((other) => other !== id);
    const each = (action: (from: NodeId, to: NodeId) => void): void => {
      for (const [from, to] of words.flatMap(parseLink)) action(from, to);
    };
    const network = this.#network;
    if (command === "cut") each((from, to) => network.cut(from, to));
    else if (command === "mend") each((from, to) => network.mend(from, to));
    else if (command === "hold") each((from, to) => network.hold(from, to));
    else if (command === "lose") for (const type of words) network.lose(type as MessageType);
    else if (command === "heal") network.heal();
    else if (command === "isolate") {
      for (const id of words.map(Number)) {
        for (const other of others(id)) for (const pair of bothWays(id, other)) network.cut(...pair);
      }
    } else if (command === "partition") {
      const sides = words
        .join(" ")
        .split(" / ")
        .map((side) => side.split(" ").map(Number));
      for (const side of sides) {
        for (const id of side)
          for (const other of others(id)) if (!side.includes(other)) network.cut(id, other);
      }
    } else if (command === "release") {
      const late = network.release(words[0] === "reversed", words[0] === "once");
      for (const message of late) this.#tellMessage(message, "late");
    } else return false;
    return true;
  }

  #tamperWithMachine(command: string, words: string[]): boolean {
    const member = (): ScenarioMember => this.member(words[0]);
    if (command === "stall") member().isDiskStalled = true;
    else if (command === "flush") member().isDiskStalled = false;
    else if (command === "stall-apply") member().isApplyStalled = true;
    else if (command === "apply") member().isApplyStalled = false;
    else if (command === "crash") member().crash();
    else if (command === "restart") member().start();
    else if (command === "compact") member().compact(Number(words[1]));
    else if (command === "snapshots") member().canMakeSnapshots = words[1] === "on";
    else return false;
    return true;
  }

  /** Until nobody has anything to do. The invariants are checked after each step. */
  #settle(): void {
    for (let deliveries = 0; ; deliveries++) {
      assert(deliveries < maxDeliveries, "the members come to rest");
      for (const member of this.members.values()) this.#work(member);
      const message = this.#network.next();
      if (message === undefined) return;
      this.#deliver(message);
    }
  }

  #deliver(message: Message): void {
    const node = this.members.get(message.to)?.node;
    if (node === undefined) return;
    // What is checked at the door of a real member must let all true messages pass.
    const fault = validateMessage(message, { id: message.to, term: node.raft.term });
    assert(fault === undefined, `${noteMessage(message)}: ${fault}`);
    node.step(message);
  }

  #work(member: ScenarioMember): void {
    for (let outgoing = member.work(); outgoing !== undefined; outgoing = member.work()) {
      this.#invariants.check();
      for (const message of outgoing) this.#tellMessage(message, this.#network.send(message));
    }
  }

  #tellMessage(message: Message, fate: Fate | "late"): void {
    if (isSmallTalk(message)) return;
    this.#tell(`${noteMessage(message)}${fate === "sent" ? "" : ` (${fate})`}`);
  }

  #tell(line: string): void {
    if (!this.#isQuiet || line.includes("became leader")) this.#told.push(line);
  }
}

function parseLink(word: string): [NodeId, NodeId][] {
  const [, from, kind, to] = /^(\d+)([->])(\d+)$/.exec(word) ?? [];
  if (from === undefined || to === undefined) throw new Error(`no link: ${word}`);
  return kind === ">" ? [[Number(from), Number(to)]] : bothWays(Number(from), Number(to));
}

function bothWays(one: NodeId, other: NodeId): [NodeId, NodeId][] {
  return [
    [one, other],
    [other, one],
  ];
}

/** `preVote=false maxInflightMessages=2`: the fields of RaftConfig. */
function parseConfig(words: string[]): Partial<RaftConfig> {
  const value = (text: string): unknown => {
    if (text === "true" || text === "false") return text === "true";
    return Number.isNaN(Number(text)) ? text : Number(text);
  };
  return Object.fromEntries(
    words.map((word) => {
      const [key = "", text = ""] = word.split("=");
      return [key, value(text)];
    }),
  );
}
