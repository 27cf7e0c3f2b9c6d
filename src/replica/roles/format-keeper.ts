/**
 * The leader's part in the rule of formats: it raises the cluster's format once every member knows the higher
 * one, and never lowers it. It asks each member, since only the member's own release knows.
 */

import type { Clock, Logger } from "#base/ports.ts";
import { StatusError } from "#base/errors.ts";
import type { NodeId } from "#raft/types.ts";
import type { FormatRange } from "#store/format.ts";
import type { Calls } from "../peers/calls.ts";
import { parseMemberId } from "../member-id.ts";
import { readFormats } from "../peers/peer-json.ts";
import type { ReplicaState } from "../replica-state.ts";

interface FormatParts {
  id: NodeId;
  formats: FormatRange;
  clock: Clock;
  logger: Logger;
  calls: Calls;
  state: ReplicaState;
  isLeading(): boolean;
  /** Makes it the cluster's format, by a command that all replicas apply. */
  raise(format: number): Promise<void>;
}

const askEveryMs = 5000;
const answerMs = 3000;
/** What a member of a release before the question was invented knows. */
const first: FormatRange = { min: 1, max: 1 };

export class FormatKeeper {
  readonly #parts: FormatParts;
  #askedMs = -Infinity;
  #asking = false;

  constructor(parts: FormatParts) {
    this.#parts = parts;
  }

  /** With every tick. */
  tick(): void {
    const { clock, formats, state, logger } = this.#parts;
    if (this.#asking || formats.max <= state.format || !this.#parts.isLeading()) return;
    const now = clock.monotonicMs();
    if (now - this.#askedMs < askEveryMs) return;
    this.#askedMs = now;
    this.#asking = true;
    this.#raiseIfAllKnow()
      .catch((error: unknown) => {
        logger.debug("the cluster's format is not raised yet", { error: String(error) });
      })
      .finally(() => {
        this.#asking = false;
      });
  }

  /** The answer to another member's question. */
  answer(): Uint8Array {
    return Buffer.from(JSON.stringify(this.#parts.formats));
  }

  async #raiseIfAllKnow(): Promise<void> {
    const { id, formats, state, logger } = this.#parts;
    const members = state.cluster?.members ?? [];
    const others = members.map((member) => parseMemberId(member.id)).filter((member) => member !== id);
    const known = await Promise.all(others.map((member) => this.#ask(member)));
    const common = Math.min(formats.max, ...known.map(({ max }) => max));
    // Who was admitted meanwhile was not asked.
    const isSame = state.cluster?.members.length === members.length;
    if (common <= state.format || !isSame || !this.#parts.isLeading()) return;
    logger.info("every member knows a newer format of the datastore: it is used from now on", {
      format: common,
    });
    await this.#parts.raise(common);
  }

  async #ask(member: NodeId): Promise<FormatRange> {
    try {
      const answer = await this.#parts.calls.call(member, "formats", new Uint8Array(0), answerMs);
      return readFormats(answer);
    } catch (error) {
      if (error instanceof StatusError && error.reason === "NotImplemented") return first;
      throw error;
    }
  }
}
