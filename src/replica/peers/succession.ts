/**
 * When a cluster takes the place of another (after a forced recovery, or a restore that takes over), the members of
 * the old one must never again decide anything. They learn of it from whoever greets them back with a successor's
 * name, and only then: members that can't reach the new cluster can't know. So a replica asks all that it knows
 * before it starts, and gives up its copy as soon as it hears of a successor while it runs.
 */

import { connect } from "node:tls";
import { FatalError } from "#base/errors.ts";
import type { Random } from "#base/ports.ts";
import type { ConfState, NodeId } from "#raft/types.ts";
import { supportedFormats } from "#store/format.ts";
import { parseMemberId } from "../member-id.ts";
import type { Greeting, Succession } from "./peer-connection.ts";
import { PeerConnection } from "./peer-connection.ts";
import type { MemberRecord, PeerTls } from "../types.ts";

/** This replica's cluster has been succeeded by another one: its copy is not to be used any more. */
export class SucceededError extends FatalError {
  readonly succession: Succession;

  constructor(succession: Succession) {
    super(
      "corrupt",
      `the cluster went on without this node, as ${succession.clusterId}: it begins anew as a standby`,
    );
    this.succession = succession;
  }
}

export function newClusterId(random: Random): string {
  return Buffer.from(random.bytes(8)).toString("hex");
}

export function loneVoter(id: string): ConfState {
  return {
    voters: [parseMemberId(id)],
    learners: [],
    votersOutgoing: [],
    learnersNext: [],
    autoLeave: false,
  };
}

/**
 * Asks every peer once whether there is a successor. Resolves when one says so, when all have answered or refused, or
 * after the timeout.
 */
export async function askForSuccessor(options: {
  peers: MemberRecord[];
  greeting: Greeting;
  tls: PeerTls;
  timeoutMs: number;
}): Promise<Succession | undefined> {
  const { peers, greeting, tls, timeoutMs } = options;
  const ended = new AbortController();
  const timer = setTimeout(() => ended.abort(), timeoutMs);
  try {
    return await new Promise<Succession | undefined>((resolve) => {
      let open = peers.length;
      if (open === 0) resolve(undefined);
      for (const peer of peers) {
        void askOne(peer.address, greeting, tls, ended.signal).then((answer) => {
          open--;
          if (answer !== undefined || open === 0) resolve(answer);
        });
      }
    });
  } finally {
    clearTimeout(timer);
    ended.abort();
  }
}

/** Whether the greeting says that the cluster of this id has a successor. */
export function successionOf(greeting: Greeting, clusterId: string): Succession | undefined {
  const { successor } = greeting;
  return greeting.clusterId !== clusterId && successor?.formerIds.includes(clusterId) === true
    ? successor
    : undefined;
}

function askOne(
  address: string,
  greeting: Greeting,
  tls: PeerTls,
  signal: AbortSignal,
): Promise<Succession | undefined> {
  const at = address.lastIndexOf(":");
  const host = address.slice(0, at).replace(/^\[|\]$/g, "");
  const { ca, cert, key } = tls;
  return new Promise((resolve) => {
    const socket = connect({
      host,
      port: Number(address.slice(at + 1)),
      ca,
      cert,
      key,
      minVersion: "TLSv1.3",
      checkServerIdentity: () => undefined,
    });
    const connection = new PeerConnection(
      socket,
      {
        onGreeting(answer) {
          resolve(successionOf(answer, greeting.clusterId));
          connection.close("asked");
        },
        onFrame: () => undefined,
        onClose: () => resolve(undefined),
      },
      supportedFormats,
    );
    signal.addEventListener("abort", () => connection.close("not needed any more"));
    socket.once("secureConnect", () => connection.greet(greeting));
  });
}

export function greetingOf(id: NodeId, clusterId: string): Greeting {
  return { version: 1, clusterId, id, channel: "raft", formats: supportedFormats };
}
