/**
 * The ports through which a replica touches the world: its disk, its peers, its state, time and
 * randomness. Real ones are in `disk.ts`, `peer-transport.ts` and `#store/state-directory.ts`; the
 * simulation brings its own. Everything is single-threaded; callbacks never come from inside the call
 * that asked for them.
 */

import type { Clock, Logger, Random } from "#base/ports.ts";
import type { NodeId } from "#raft/types.ts";
import type { StateDirectory } from "#store/state-directory.ts";

/** A directory of flat files, for the log. Errors are thrown as Node's: `code` "ENOSPC" and so on. */
export interface Disk {
  /** Names of the files, in no order. */
  list(): string[];
  /** Opens an existing file, or makes one. */
  open(name: string): DiskFile;
  rename(from: string, to: string): void;
  remove(name: string): void;
  /** Makes created, renamed and removed names durable. */
  flushNames(): void;
}

export interface DiskFile {
  readonly sizeBytes: number;
  /** May return less at the end of the file. */
  read(position: number, length: number): Uint8Array;
  /** Visible at once, durable after the next flush. May be torn or lost by a power cut before that. */
  write(position: number, bytes: Uint8Array): void;
  /** Makes all earlier writes durable. An error means that nothing is known about them: the file must not be used on. */
  flush(done: (error: Error | undefined) => void): void;
  close(): void;
}

/** An address book entry of the transport. */
export interface Peer {
  id: NodeId;
  /** host:port */
  address: string;
  /** The member's name, which its certificate must have. Undefined: not known, any peer's certificate will do. */
  name?: string;
}

/** Answers over the connection on which the question came. Returns false when the frame was dropped: it is gone, or its queue is full. */
export type Reply = (frame: Uint8Array) => boolean;

export interface PeerTransportEvents {
  /** A frame from a peer. */
  onFrame(from: NodeId, frame: Uint8Array, reply: Reply): void;
  /** The connection that this side made to the peer was lost (or could not be made). Frames in flight may be lost too. */
  onUnreachable(peer: NodeId): void;
}

/** Frames between replicas: ordered per peer and channel while a connection stands, lost when it breaks. Never blocks. */
export interface PeerTransport {
  start(events: PeerTransportEvents): void;
  /** The peers that may be sent to. Connections to others are closed. */
  setPeers(peers: Peer[]): void;
  /** Returns false when the frame was dropped: no such peer, or its queue is full. "bulk" frames never delay "raft" ones. */
  send(to: NodeId, channel: "raft" | "bulk", frame: Uint8Array): boolean;
}

export interface ReplicaPorts {
  clock: Clock;
  random: Random;
  disk: Disk;
  state: StateDirectory;
  transport: PeerTransport;
  logger: Logger;
}
