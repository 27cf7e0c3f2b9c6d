/**
 * Which members of an external etcd are alive: each is asked by itself, now and then, at the address that it
 * advertises and at those that its owner named. And what of a server can't be used at all.
 */
import type { EtcdConnection } from "./client-connection.ts";

export interface EtcdHealth {
  /** Voting members; 0 while nobody has told of them. */
  members: number;
  /** Of them, those that answered when they were asked last. One that this node can't reach may live all the same. */
  alive: number;
  /** Somebody who answered knew a leader: writes are taken. */
  led: boolean;
  /** Why the others did not: "https://10.0.0.1:2379: connection refused". */
  failures: string[];
}

interface WireMemberList {
  members: { ID: string; clientURLs: string[]; isLearner: boolean }[];
}

interface WireStatus {
  header: { member_id: string };
  /** "0": none. */
  leader: string;
}

const lookMs = 2_000;
const answerMs = 1_500;
/** Nested transactions and requests for progress, which every version since has. */
const oldestVersion = [3, 4] as const;

export class HealthWatch {
  health: EtcdHealth = { members: 0, alive: 0, led: false, failures: [] };
  readonly #connection: EtcdConnection;
  #voters: WireMemberList["members"] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(connection: EtcdConnection) {
    this.#connection = connection;
  }

  /** Resolves after the first look. Never rejects: silence is what it looks for. */
  async start(): Promise<void> {
    await this.#look();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    this.#voters = await this.#listVoters();
    const urls = new Set([
      ...this.#connection.endpoints,
      ...this.#voters.flatMap(({ clientURLs }) => clientURLs),
    ]);
    const failures: string[] = [];
    const alive = new Set<string>();
    let led = false;
    await Promise.all(
      [...urls].map(async (url) => {
        try {
          const { header, leader } = await this.#connection.ask<WireStatus>(
            url,
            "Maintenance",
            "Status",
            answerMs,
          );
          alive.add(header.member_id);
          led ||= leader !== "0";
        } catch (error) {
          failures.push(`${url}: ${(error as Error).message}`);
        }
      }),
    );
    this.health = {
      members: this.#voters.length,
      alive: this.#voters.filter(({ ID }) => alive.has(ID)).length,
      led,
      failures: failures.toSorted(),
    };
    if (!this.#closed) this.#timer = setTimeout(() => void this.#look(), lookMs);
  }

  /** The list that was known before where nobody gives one. */
  async #listVoters(): Promise<WireMemberList["members"]> {
    for (const url of this.#connection.endpoints) {
      const answer = await this.#connection
        .ask<WireMemberList>(url, "Cluster", "MemberList", answerMs)
        .catch(() => undefined);
      if (answer !== undefined) return answer.members.filter(({ isLearner }) => !isLearner);
    }
    return this.#voters;
  }
}

/** How many more may surely fail before writes stop; -1: they have stopped. */
export function failuresToQuorumLoss({ members, alive, led }: EtcdHealth): number {
  if (!led) return -1;
  return Math.max(0, alive - (Math.floor(members / 2) + 1));
}

/** Why a server of this version can't be used; undefined when it can. */
export function versionRefusal(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [oldestMajor, oldestMinor] = oldestVersion;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return undefined;
  return `the external datastore is etcd ${version}: ${oldestVersion.join(".")} or later is needed`;
}
